"""What is known of one budget, of all budgets and of the workers, for people and as JSON."""
