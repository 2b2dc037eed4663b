"""Compares topics, database and rules, and lists what differs."""
