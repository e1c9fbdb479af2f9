"""What decides the training images and captions of a recipe: mixtures, selections, captions."""
