"""The shape of plan.json, which tells what a study was at its last launch."""

from hpc_xfer.store.documents.document import (
    FLAG,
    MAPPING,
    MB,
    NAME,
    PATH,
    DocumentKind,
    otherwise,
    several,
    shape,
    text,
)

PLAN = DocumentKind(
    "the plan of a study",
    shape(
        {
            "grid": PATH,
            "rehearsal": otherwise(FLAG, False),
            "protocol": text(64),
            "runs": several(NAME, 1_000_000),
            "costs": MAPPING,
        },
        needed=("grid", "runs"),
    ),
    64 * MB,
)
