"""What people type: one file per command, laid out for a terminal or as JSON."""
