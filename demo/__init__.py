"""Demonstrates the whole path with real servers and the real worker; nothing else imports it."""
