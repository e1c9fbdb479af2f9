"""Check `resources.pretrain.minutes` where it is given by size: {1_000_000: 90, ...}."""

from collections.abc import Iterable, Mapping

from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.schema import ConfigError


def missing_sizes(resources: PretrainResources, recipes: Iterable[Pretrain]) -> list[ConfigError]:
    """List the sizes of pre-trainings that have no minutes."""
    if not isinstance(resources.minutes, Mapping):
        return []
    sizes = {recipe.samples for recipe in recipes if isinstance(recipe, Trained)}
    missing = sorted(size for size in sizes if str(size) not in resources.minutes)
    loc = ("resources", "pretrain", "minutes")
    return [
        (loc, f"has no value for {size:,} samples; add `{size}: ...`, or write `minutes: auto`")
        for size in missing
    ]
