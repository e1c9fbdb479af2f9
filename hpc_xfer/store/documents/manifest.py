"""The shape of packs/ARRAY.json: recipes, resources, and the runs of each pack."""

from hpc_xfer.store.documents.document import (
    MAPPING,
    MB,
    NAME,
    DocumentKind,
    by_name,
    several,
    shape,
    text,
    whole,
)

_MOST_RUNS = 200_000  # of a study
_KIND = text(8, "^(pretrain|finetune)$")
_RUN = shape(
    {"kind": _KIND, "recipe": MAPPING, "parents": several(NAME, 8)},
    needed=("kind", "recipe", "parents"),
)
MANIFEST = DocumentKind(
    "the manifest of a job array",
    shape(
        {
            "schema": whole(0, 1_000_000),
            "kind": _KIND,
            "packs": several(several(NAME, _MOST_RUNS), _MOST_RUNS),
            "runs": by_name(NAME, _RUN, _MOST_RUNS),
            "resources": MAPPING,
        },
        needed=("packs",),
    ),
    128 * MB,
)
