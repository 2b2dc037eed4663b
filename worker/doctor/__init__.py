"""Checks of everything that a deployment depends on, each with what to do; none changes anything."""
