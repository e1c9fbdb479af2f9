"""The shape of error.json, which tells why a run failed. An odd one is none: the run is missing."""

from pydantic_core import core_schema

from hpc_xfer.store.documents.document import (
    COUNT,
    FLAG,
    JOB,
    LINE,
    MB,
    TIME,
    DocumentKind,
    either,
    or_none,
    otherwise,
    several,
    shape,
    text,
)

_CLASS = text(64, r"^[A-Za-z][A-Za-z0-9 _-]*$")
# It goes into --exclude; an odd one is unknown, as "" is, and the failure counts all the same.
_NODE = core_schema.with_default_schema(
    text(255, r"^[A-Za-z0-9_.-]*$"), default="", on_error="default"
)
_PLACE = {
    "job": or_none(JOB),
    "job_name": or_none(LINE),
    "time": TIME,
    "silent": FLAG,
}
_EARLIER = shape(
    {"class": _CLASS, **_PLACE, "job": otherwise(or_none(JOB), None), "node": _NODE},
    needed=("class",),
)  # fmt: skip
FAILURE = DocumentKind(
    "a failure",
    shape(
        {
            "class": _CLASS,
            "message": otherwise(text(MB), ""),
            "traceback": otherwise(either(several(text(MB), 10_000), text(MB)), []),
            "attempt": COUNT,
            "history": otherwise(several(_EARLIER, 10_000), []),
            **_PLACE,
            "node": _NODE,
        },
        needed=("class",),
    ),
    8 * MB,
)
