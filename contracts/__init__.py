"""What crosses the wire: messages, records, topics."""
