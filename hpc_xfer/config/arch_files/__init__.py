"""Architectures in JSON files, and names of architectures: what a study may ask for."""
