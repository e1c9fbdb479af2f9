"""Doors to the terminal: what is printed through them holds no control character of others."""
