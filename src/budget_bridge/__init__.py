"""Carries approved construction budgets from a project system into Trimble (Viewpoint) Spectrum, each exactly once."""
