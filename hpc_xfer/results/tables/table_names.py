"""The names of the tables of a study, as files without `.csv`, in their order."""

TABLES = (
    "runs", "cells", "averages", "gaps", "scaling", "ranks", "variance", "selection", "missing",
)  # fmt: skip
