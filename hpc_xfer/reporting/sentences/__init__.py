"""Sentences: the answers of a study in words, with their scope, or the reason why there is none."""
