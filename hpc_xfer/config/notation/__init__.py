"""Read values as people write them in grid and site files, and explain mistakes in YAML."""
