"""How people write values in grid and site files, and the mistakes they make in YAML."""
