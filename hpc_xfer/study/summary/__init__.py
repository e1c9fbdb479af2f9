"""Summaries of plans before anything runs: of one study, and of several that share runs."""
