"""Go on from a checkpoint: the state of a training, held against the training that takes it."""
