"""Results of a study for TensorBoard, written without torch."""
