"""What a store takes on disk, and what of it may go."""
