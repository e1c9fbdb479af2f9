"""Name the weights that a study takes from others: the stand-ins have a file for each and arch.

A tag of open_clip, such as openai, names weights of several architectures. Each is a file of its
own here: openai-RN50 and openai-ViT-B-32.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hpc_xfer.config.recipes import (
    PARENT,
    Arch,
    Architecture,
    Pretrain,
    Released,
    Trained,
    arch_name,
)
from hpc_xfer.study.stand_ins.tiny_archs import TinyArchs


@dataclass(frozen=True)
class NeededWeights:
    """Weights of a tiny architecture that stand for those of others."""

    name: str  # in the study
    arch: Architecture


def weights_of(recipe: Pretrain) -> str | None:
    """Return the name of the weights that a recipe takes from others; None if it takes none."""
    if isinstance(recipe, Released):
        return recipe.weights
    return recipe.init if isinstance(recipe, Trained) and recipe.init != PARENT else None


class StandInWeights:
    """Names of the weights of a study, and of their stand-ins."""

    def __init__(self, recipes: Iterable[Pretrain]) -> None:
        self._archs: dict[str, list[Arch]] = {}
        for name, arch in _used(recipes):
            archs = self._archs.setdefault(name, [])
            if arch not in archs:
                archs.append(arch)

    def name(self, weights: str, arch: Arch) -> str:
        """Return the name of the stand-in for weights of an architecture."""
        return f"{weights}-{arch_name(arch)}" if len(self._archs[weights]) > 1 else weights

    def names(self, weights: str) -> list[str]:
        """Return the names of all stand-ins for weights of one name."""
        return [self.name(weights, arch) for arch in self._archs.get(weights, ())]

    def needed(self, archs: TinyArchs) -> dict[str, NeededWeights]:
        """List the files that the stand-ins must have, by the names there."""
        return {
            self.name(name, arch): NeededWeights(name, archs.of(arch))
            for name, listed in self._archs.items()
            for arch in listed
        }


def _used(recipes: Iterable[Pretrain]) -> Iterator[tuple[str, Arch]]:
    for recipe in recipes:
        if (name := weights_of(recipe)) is not None:
            yield name, recipe.arch
