"""The only package that uses aiokafka: a small typed surface over what it does."""
