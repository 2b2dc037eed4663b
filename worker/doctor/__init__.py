"""Checks of everything a deployment stands on, each with what to do."""
