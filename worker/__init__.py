"""When it happens: Kafka, the clock, the environment, the command line."""
