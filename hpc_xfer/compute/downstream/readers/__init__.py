"""Readers of data sets: one file per family; datasets.py chooses."""
