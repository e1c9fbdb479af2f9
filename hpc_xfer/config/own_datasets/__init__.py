"""Data sets of the user's own: what their classes are called, and what is odd about them."""
