"""What people type: one file per command, and beside them what several commands share."""
