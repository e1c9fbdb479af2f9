"""Collect what pre-trainings need of a source, so that a stand-in of it can be made."""

from collections.abc import Iterable
from dataclasses import dataclass

from hpc_xfer.config.recipes import Pretrain, Trained


@dataclass(frozen=True)
class SourceNeeds:
    """The number of samples, and the keys of their json."""

    samples: int
    texts: tuple[str, ...] = ()  # keys with a caption
    label: str | None = None  # key with the class number


def source_needs(recipes: Iterable[Pretrain]) -> dict[str, SourceNeeds]:
    """Collect by source what recipes need."""
    found: dict[str, SourceNeeds] = {}
    for recipe in recipes:
        if not isinstance(recipe, Trained):
            continue
        for name, samples in recipe.samples_by_source.items():
            targets = recipe.targets_of(name)
            texts = {key for target in targets for key in target.caption_keys}
            label = next((t.label_key for t in targets if t.label_key is not None), None)
            before = found.get(name, SourceNeeds(0))
            found[name] = SourceNeeds(
                max(samples, before.samples),
                tuple(sorted(texts.union(before.texts))),
                label or before.label,
            )
    return found
