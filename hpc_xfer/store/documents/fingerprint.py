"""The shape of fingerprints/first/NAME.json: the fingerprint that a data set had first."""

from hpc_xfer.store.documents.document import (
    LINE,
    MB,
    DocumentKind,
    or_none,
    otherwise,
    several,
    shape,
    text,
    whole,
)

FINGERPRINT = DocumentKind(
    "the fingerprint of a data set",
    shape(
        {
            "schema": whole(0, 1_000_000),
            "fingerprint": text(256, "^[!-~]+$"),
            "seen": or_none(LINE),
            "earlier": otherwise(several(shape({"fingerprint": text(256)}), 10_000), []),
        },
        needed=("schema", "fingerprint"),
    ),
    4 * MB,
)
