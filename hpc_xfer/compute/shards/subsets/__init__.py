"""Which samples of each source a pre-training uses, and how those of several are interleaved."""
