"""Answers: the rows of gaps.csv, scaling.csv, variance.csv, selection.csv and ranks.csv."""
