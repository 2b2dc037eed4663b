"""CloudEvents 1.0 over Kafka: binary and structured mode in, binary mode out."""
