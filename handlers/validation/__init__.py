"""Everything that is checked before an approver sees a budget, one file per concern; all errors are found at once."""
