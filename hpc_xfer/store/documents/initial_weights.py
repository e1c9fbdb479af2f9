"""The shape of init.json, which tells what a pre-training started from.

An odd one is none: the weights, which the site names, are read again.
"""

from pydantic_core import core_schema

from hpc_xfer.store.documents.document import MB, DocumentKind, real, shape, text

_COLORS = 3


def _per_color(least: float) -> core_schema.ListSchema:
    return core_schema.list_schema(
        real(least, 1e3), min_length=_COLORS, max_length=_COLORS, strict=True
    )


INITIAL_WEIGHTS = DocumentKind(
    "a note on initial weights",
    shape(
        {
            "name": text(1_000),
            "sha256": text(64, "^[0-9a-f]{64}$"),
            "mean": _per_color(-1e3),
            "std": _per_color(1e-6),  # images are divided by it
        },
        needed=("name", "sha256", "mean", "std"),
    ),
    MB,
)
