"""The whole job played on real parts; the rest of the program knows nothing of it."""
