"""What the worker reports of itself: logs, metrics, health and traces."""
