"""Facts that a study states about its encoders: origin of released weights, curation of sources.

    facts:
      weights:
        laion2b_s34b_b79k: {method: clip, source: laion, samples: 2e9, samples_seen: 34e9}
      curation: {curated: [imagenet], web: [laion, yfcc]}

Tables and figures use them. They are part of no recipe, so the runs keep their ids.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from hpc_xfer.config.recipes import Pretrain, Released, Trained
from hpc_xfer.config.schema import (
    ConfigError,
    PositiveInt,
    StrictModel,
    format_value,
    nearest,
    tupled,
)

_ALIKE = 0.75  # of names with the same digits, as difflib measures it: laoin and laion are 0.8


class WeightsFacts(StrictModel):
    """The known facts of the pre-training of released weights; None for an unknown one."""

    method: str | None = Field(default=None, min_length=1)
    source: str | None = Field(default=None, min_length=1)
    samples: PositiveInt | None = None
    samples_seen: PositiveInt | None = None


class StudyFacts(StrictModel):
    """The key `facts` of a grid file."""

    weights: dict[str, WeightsFacts] = {}  # by the name under `weights` in the grid
    curation: dict[
        str, Annotated[tuple[str, ...], BeforeValidator(tupled)]
    ] = {}  # level -> its sources

    @field_validator("curation")
    @classmethod
    def _one_level_each(cls, levels: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        first: dict[str, str] = {}
        for level, sources in levels.items():
            if not level.strip():
                raise ValueError("a level needs a name, such as `curated` or `web`")
            for source in sources:
                if source in first:
                    where = "twice" if first[source] == level else f"in {first[source]} too"
                    raise ValueError(f"{level} names the source {source!r} {where}; keep one")
                first[source] = level
        return levels

    def of_weights(self, weights: str | None) -> WeightsFacts:
        """Return the facts of released weights; empty ones where nothing is stated."""
        return self.weights.get(weights or "", WeightsFacts())

    def curation_of(self, source: str) -> str:
        """Return the level that lists a source, or an empty text."""
        found = (level for level, sources in self.curation.items() if source in sources)
        return next(found, "")


def wrong_facts(facts: StudyFacts, recipes: Iterable[Pretrain]) -> Iterator[ConfigError]:
    """Yield an error for facts of weights and sources that no pre-training of the grid names.

    A source of none is refused where it is nearly one that has no level yet: the levels of others
    may be there for imported results.
    """
    recipes = tuple(recipes)
    named = {recipe.weights for recipe in recipes if isinstance(recipe, Released)}
    for weights in facts.weights:
        if weights in named:
            continue
        way = nearest(weights, named, "the weights here are") if named else "remove these facts"
        yield (
            ("facts", "weights", weights),
            f"no pre-training here has the weights {format_value(weights)}; {way}",
        )
    sources = {recipe.source_name for recipe in recipes if isinstance(recipe, Trained)}
    sources |= {source for name in named if (source := facts.of_weights(name).source)}
    without_level = {name.lower(): name for name in sources if not facts.curation_of(name)}
    for level, listed in facts.curation.items():
        for source in listed:
            if source in sources:
                continue
            alike = [name for name in without_level if _digits(name) == _digits(source)]
            for meant in difflib.get_close_matches(source.lower(), alike, 1, _ALIKE):
                yield (
                    ("facts", "curation", level),
                    f"no pre-training here has the source {source!r}; did you mean "
                    f"{without_level[meant]!r}?",
                )


def _digits(name: str) -> list[str]:
    """Find the numbers in a name: laion and laion2b are two sources, as cc3m and cc12m are."""
    return re.findall(r"\d+", name)
