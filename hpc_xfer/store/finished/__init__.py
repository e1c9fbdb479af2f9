"""Find finished runs in the store, and remove what only the work on them needed."""
