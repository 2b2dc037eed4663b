"""Back-off, circuit breakers, and detecting what no longer answers."""
