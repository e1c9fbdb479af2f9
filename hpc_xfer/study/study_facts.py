"""Facts that a study states about its encoders: origin of released weights, curation of sources.

    facts:
      weights:
        laion2b_s34b_b79k: {method: clip, source: laion, samples: 2e9, samples_seen: 34e9}
      curation: {curated: [imagenet], web: [laion, yfcc]}

Tables and figures use them. They are part of no recipe, so the runs keep their ids.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from hpc_xfer.config.recipes import Pretrain, Released
from hpc_xfer.config.schema import (
    ConfigError,
    PositiveInt,
    StrictModel,
    format_value,
    nearest,
    tupled,
)


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
    """Yield an error for facts of weights that no pre-training of the grid names."""
    named = {recipe.weights for recipe in recipes if isinstance(recipe, Released)}
    for weights in facts.weights:
        if weights in named:
            continue
        way = nearest(weights, named, "the weights here are") if named else "remove these facts"
        yield (
            ("facts", "weights", weights),
            f"no pre-training here has the weights {format_value(weights)}; {way}",
        )
