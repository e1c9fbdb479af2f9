"""Attacks of neighbours on a cluster and of files from the web: each of them fails, as a test."""
