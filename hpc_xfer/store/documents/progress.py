"""The shape of progress.json, the heartbeat of a run."""

from hpc_xfer.store.documents.document import (
    COUNT,
    KB,
    TIME,
    DocumentKind,
    or_none,
    otherwise,
    real,
    shape,
)

PROGRESS = DocumentKind(
    "a heartbeat",
    shape(
        {
            "time": TIME,
            "step": otherwise(COUNT, 0),
            "total": COUNT,
            "samples_per_second": otherwise(real(), 0.0),
            "eta_seconds": or_none(real(0)),
            "data_wait": otherwise(real(), 0.0),
            "loss": or_none(real()),
        },
        needed=("time",),
    ),
    64 * KB,
)
