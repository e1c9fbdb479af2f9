"""Define the error of an image whose structure is odd."""


class OddImage(ValueError):
    """An image that is not decoded; its message is a predicate: "has more than 100 parts"."""
