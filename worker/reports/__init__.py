"""What is known of a budget, of all budgets and of the workers."""
