"""The shape of finished.json, which names the runs whose records were read."""

from pydantic_core import core_schema

from hpc_xfer.store.documents.document import (
    COUNT,
    MB,
    NAME,
    DocumentKind,
    by_name,
    or_none,
    real,
    shape,
    text,
)

# Of a run: identity of its folder, seconds that it took, its attempt, the GPU that it had.
_RUN = core_schema.tuple_schema(
    [text(64, r"^[0-9a-f.]+$"), or_none(real(0, 1e12)), or_none(COUNT), or_none(text(64))]
)
_RUNS = by_name(NAME, _RUN)
FINISHED = DocumentKind(
    "a list of finished runs",
    shape(
        {"code": text(64), "pretrain": _RUNS, "finetune": _RUNS},
        needed=("code", "pretrain", "finetune"),
    ),
    256 * MB,  # a run has 60 bytes
)
