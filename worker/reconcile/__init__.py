"""Compares logs, database and rules, and lists what differs."""
