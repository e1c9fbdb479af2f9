"""The shape of record.json. An odd record is none: its run is done again, and never counted."""

from pydantic_core import core_schema

from hpc_xfer.store.documents.document import (
    ANY,
    COUNT,
    FLAG,
    KB,
    LINE,
    MAPPING,
    MB,
    NAME,
    WORD,
    DocumentKind,
    by_name,
    either,
    or_none,
    real,
    several,
    shape,
    text,
    whole,
)

_MOST_IMAGES = 10**9  # of a test set; as many bits of hits.npy are read
_IMAGES = or_none(whole(0, _MOST_IMAGES))
_COUNT = or_none(COUNT)
_LINE = or_none(LINE)
# A measured value is a number, or what a table shows as it stands.
_VALUE = either(
    whole(-(2**63), 2**63 - 1), real(), or_none(FLAG), text(64 * KB), several(ANY, 100_000), MAPPING
)
_RANKS = several(
    shape({"from_step": COUNT, "ranks": whole(1, 10**6)}, needed=("from_step", "ranks")), 10_000
)
_COUNTS = ("train_images", "labels", "classes", "short_classes", "steps", "loss_steps")
_METRICS = core_schema.typed_dict_schema(
    {
        name: core_schema.typed_dict_field(schema, required=False)
        for name, schema in {
            **dict.fromkeys(("n_test", "n_val"), _IMAGES),
            **dict.fromkeys(_COUNTS, _COUNT),
            "ranks": _RANKS,
        }.items()
    },
    extra_behavior="allow",
    extras_schema=_VALUE,
)
# Of Slurm, in which the run was started.
_JOBS = several(shape({"slurm_job": WORD, "slurm_job_name": _LINE}, needed=("slurm_job",)), 10_000)
_PROVENANCE = shape(
    {
        **dict.fromkeys(("host", "gpu", "commit"), _LINE),
        "dirty": or_none(FLAG),
        "restarts": or_none(either(COUNT, text(64))),
        "packages": by_name(text(256), _LINE, 1_000),
        "ranks": or_none(whole(1, 10**6)),
        "attempt": or_none(COUNT),
        "jobs": _JOBS,
        "data": MAPPING,
    }
)
RECORD = DocumentKind(
    "a record",
    shape(
        {
            "run": NAME,
            "metrics": _METRICS,
            "path": MAPPING,
            "recipe": MAPPING,
            "timing": shape({"seconds": or_none(real(0, 1e12))}),
            "provenance": _PROVENANCE,
        },
        needed=("run", "metrics"),
    ),
    64 * MB,
)
