"""Refuse grids that are too large to be meant."""

from hpc_xfer.config.schema import ConfigError
from hpc_xfer.config.yaml_document import Loc

_MOST_RUNS = 200_000  # a larger product is a typing error


def too_many(runs: int, loc: Loc) -> list[ConfigError]:
    """Refuse a grid that is too large to be meant."""
    if runs <= _MOST_RUNS:
        return []
    return [(loc, f"expands to {runs:,} runs; shorten an axis to stay below {_MOST_RUNS:,}")]
