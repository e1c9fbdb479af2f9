"""Measure a store on disk, and remove what may go."""
