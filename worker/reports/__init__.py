"""Reports on one budget, all budgets, lanes and workers, as text and as JSON."""
