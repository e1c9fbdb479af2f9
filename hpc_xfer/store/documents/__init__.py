"""Typed readers of the files of a store, one per kind: what does not fit counts as absent."""
