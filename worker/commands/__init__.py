"""The commands: one file for each, and next to them what several commands share."""
