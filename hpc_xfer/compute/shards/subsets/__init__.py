"""Choose the samples of each source for a pre-training, and interleave those of several."""
