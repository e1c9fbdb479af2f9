"""Estimators: pure functions of numbers; docs/statistics.md says when each is used."""
