"""Parts of `shards index`: read one shard, and join what was found in all of them."""
