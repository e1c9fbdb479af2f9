"""Collect what pre-trainings need of a source, so that a stand-in of it can be made."""

from collections.abc import Iterable
from dataclasses import dataclass

from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.training_data.selection import SampleSelection
from hpc_xfer.config.training_data.stand_in_values import StandInColumn, stand_in_columns


@dataclass(frozen=True)
class SelectedSamples:
    """A selection from a source, and how many samples a pre-training takes of it."""

    selection: SampleSelection
    samples: int
    subset_seed: int


@dataclass(frozen=True)
class SourceNeeds:
    """The number of samples, the keys of their json, and what is selected by which columns."""

    samples: int
    texts: tuple[str, ...] = ()  # keys with a caption
    label: str | None = None  # key with the class number
    selected: tuple[SelectedSamples, ...] = ()
    columns: tuple[StandInColumn, ...] = ()


def source_needs(recipes: Iterable[Pretrain]) -> dict[str, SourceNeeds]:
    """Collect by source what recipes need."""
    trained = [recipe for recipe in recipes if isinstance(recipe, Trained)]
    columns = stand_in_columns(each.select for each in trained if each.select is not None)
    found: dict[str, SourceNeeds] = {}
    for recipe in trained:
        for name, samples in recipe.samples_by_source.items():
            targets = recipe.targets_of(name)
            texts = {key for target in targets for key in target.caption_keys}
            label = next((t.label_key for t in targets if t.label_key is not None), None)
            before = found.get(name, SourceNeeds(0))
            selected = before.selected
            if recipe.select is not None:
                own = SelectedSamples(recipe.select, samples, recipe.subset_seed)
                selected += () if own in selected else (own,)
            names = {column for each in selected for column in each.selection.columns}
            found[name] = SourceNeeds(
                max(samples, before.samples),
                tuple(sorted(texts.union(before.texts))),
                label or before.label,
                selected,
                tuple(columns[column] for column in sorted(names)),
            )
    return found
