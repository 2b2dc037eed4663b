"""Where it is kept: one Postgres transaction for everything that a batch comes to."""
