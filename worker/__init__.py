"""Everything that touches the outside: Kafka, the clock, the environment, the command line."""
