"""The shapes of plan.json, which tells what a study was at its last launch, and of its costs.

Odd costs are none, and minutes are assumed then: the rest of the plan stays in use.
"""

from hpc_xfer.store.documents.document import (
    ANY,
    FLAG,
    MB,
    NAME,
    PATH,
    DocumentKind,
    by_name,
    or_none,
    otherwise,
    real,
    several,
    shape,
    text,
    whole,
)

_IMAGES = whole(0, 10**10)  # of a data set
_LEAST, _MOST = 1e3, 1e21  # floating point operations per second: of no computer, of all

PLAN = DocumentKind(
    "the plan of a study",
    shape(
        {
            "grid": PATH,
            "rehearsal": otherwise(FLAG, False),
            "stand_ins": otherwise(FLAG, False),
            "protocol": text(64),
            "runs": several(NAME, 1_000_000),
            "only": otherwise(several(text(10_000), 1_000), []),
            "costs": ANY,
        },
        needed=("grid", "runs"),
    ),
    64 * MB,
)
COSTS = DocumentKind(
    "estimates of costs",
    shape(
        {
            "images": by_name(
                text(1_000),
                shape(
                    {
                        **dict.fromkeys(("train", "test", "classes", "templates", "val"), _IMAGES),
                        "in_files": FLAG,
                    },
                    needed=("train", "test", "classes"),
                ),
            ),
            "speed": shape(
                {
                    "flops": real(_LEAST, _MOST),
                    "cores": whole(1, 10**6),
                    "has_gpu": FLAG,
                    "loaders": whole(0, 10**6),
                    "kept_bytes": whole(0, 2**53),
                    "solver_flops": or_none(real(_LEAST, _MOST)),
                },
                needed=("flops",),
            ),
            "training": ANY,  # TrainingSpeed.from_json takes nothing else
        },
        needed=("images", "speed"),
    ),
    MB,
)
