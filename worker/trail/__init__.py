"""The audit trail: who did what, when, by which key and rules, as lines that can be checked without the bridge."""
