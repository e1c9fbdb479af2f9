"""Rehearse a study: make stand-ins for its data, and judge what has passed."""
