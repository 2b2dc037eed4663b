"""What we decide: the pure core, one file per inbound message."""
