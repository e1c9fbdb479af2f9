"""What the store tells of finished runs."""
