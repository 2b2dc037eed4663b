"""The benchmark and its two yardsticks; ``python -m bench`` runs it."""
