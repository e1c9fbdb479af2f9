"""Studies that are shrunk to what stand-ins of their data allow."""
