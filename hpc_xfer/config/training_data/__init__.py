"""Mixtures, selections and captions: they decide the training images of a recipe."""
