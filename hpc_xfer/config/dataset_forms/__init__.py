"""The forms in which data sets lie on disk, listed without reading a pixel."""
