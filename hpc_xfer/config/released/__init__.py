"""Weights that others trained, without torch: entries of the site file, files, known facts."""
