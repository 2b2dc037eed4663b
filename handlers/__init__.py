"""What we decide: the pure core, one file for each inbound message type."""
