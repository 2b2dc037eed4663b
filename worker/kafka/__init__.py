"""The only package that uses aiokafka: a small, typed interface with time limits, and guards against its faults."""
