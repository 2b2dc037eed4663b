"""Waiting, backing off and noticing what no longer answers."""
