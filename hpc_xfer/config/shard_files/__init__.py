"""The files in the folder of a source: which of them are shards, and what is odd in them."""
