"""Selections: which samples of a source a recipe may use, by columns beside its index.

    select: {above: {clip_score: 0.3}, distinct: phash}

Applied in this order, whatever the order in the file: keys, above, below, best, distinct, then
classes and per_class. `best` counts the samples that the ones before it leave. A sample without a
value in a column is left out by what asks for it.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from hpc_xfer.config.notation.units import read_share
from hpc_xfer.config.schema import Name, Number, PositiveInt, StrictModel, format_value

KEY, CLASS = "key", "class"  # columns of the samples themselves, not of their json
Share = Annotated[float, BeforeValidator(read_share), Field(gt=0, le=1.0)]


class KeyList(StrictModel):
    """A list of samples in a text file, one key a line. Its content decides, not its path."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    column: Name = KEY
    path: Name = Field(default="", exclude=True)  # empty where it was read from a store
    called: Name = Field(default="", exclude=True)  # in tables; empty: the name of the file

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.called or Path(self.path).stem or self.sha256[:6]


class SampleSelection(StrictModel):
    """The key `select` of a pre-training."""

    keys: KeyList | None = None  # those in a list
    above: dict[Name, Number] | None = None  # value of a column, which is left out itself
    below: dict[Name, Number] | None = None  # the same for scores of which the low ones are good
    best: dict[Name, Share] | None = None  # share with the highest values
    distinct: Name | None = None  # the first of each value of a column
    classes: PositiveInt | None = None  # so many, drawn by the seed of the subset
    per_class: PositiveInt | None = None  # at most so many of each; with classes exactly

    @field_validator("above", "below", "best", mode="before")
    @classmethod
    def _names_columns(cls, columns: Any) -> Any:
        """Refuse what is no mapping, such as `above: 0.3` or `best: clip_score`."""
        if columns is None or isinstance(columns, dict):
            return columns
        way = "" if isinstance(columns, list) else "; write {clip_score: 0.3}"
        raise ValueError(f"must be a number per column, got {format_value(columns)}{way}")

    @field_validator("distinct", mode="before")
    @classmethod
    def _one_column(cls, column: Any) -> Any:
        if not isinstance(column, list | dict):
            return column
        way = "" if isinstance(column, list) else "; write `distinct: phash`"
        raise ValueError(f"must be the name of a column, got {format_value(column)}{way}")

    @field_validator("above", "below", "best")
    @classmethod
    def _not_empty(cls, columns: dict[str, float] | None) -> dict[str, float] | None:
        """Sort them, so that their order in the file does not make another run."""
        if columns is not None and not columns:
            raise ValueError("names no column; write {clip_score: 0.3}, or remove it")
        return None if columns is None else dict(sorted(columns.items()))

    @model_validator(mode="after")
    def _selects(self) -> "SampleSelection":
        if not self.model_fields_set or all(value is None for _, value in self):
            raise ValueError("selects nothing; remove select, or say what to select by")
        if self.classes is not None and self.per_class is None:
            raise ValueError("classes needs per_class, the images of each; add per_class")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a source must have, sorted."""
        names = {*(self.above or ()), *(self.below or ()), *(self.best or ())}
        names |= {self.keys.column} if self.keys is not None else set()
        names |= {self.distinct} if self.distinct is not None else set()
        names |= {CLASS} if self.per_class is not None else set()
        return tuple(sorted(names))

    @property
    def text(self) -> str:
        """Name it for tables: `best 30% clip_score, distinct phash`."""
        parts = []
        if self.keys is not None:
            by = "" if self.keys.column == KEY else f" by {self.keys.column}"
            parts.append(f"keys {self.keys.name}{by}")
        parts += [f"above {_number(x)} {name}" for name, x in (self.above or {}).items()]
        parts += [f"below {_number(x)} {name}" for name, x in (self.below or {}).items()]
        parts += [f"best {_percent(x)} {name}" for name, x in (self.best or {}).items()]
        if self.distinct is not None:
            parts.append(f"distinct {self.distinct}")
        if self.classes is not None:
            parts.append(f"{self.classes} classes x {self.per_class}")
        elif self.per_class is not None:
            parts.append(f"{self.per_class} per class")
        return ", ".join(parts)

    def unfit(self, samples: int, sources: Collection[str]) -> str | None:
        """Say why n classes x m images do not fit the rest of a recipe; None if they do."""
        if self.classes is None or self.per_class is None:
            return None
        if len(sources) > 1:
            return "classes needs a single source; remove classes, or name one source"
        exact = self.classes * self.per_class
        if samples == exact:
            return None
        return (
            f"samples must be {exact:,}, for {self.classes:,} classes of {self.per_class:,} "
            f"images, got {samples:,}"
        )


def _number(value: float) -> str:
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _percent(share: float) -> str:
    return f"{_number(float(f'{100 * share:.12g}'))}%"


def as_key_list(value: Any) -> tuple[str, str] | None:
    """Return the path and the column of `keys` as a grid has it; None where it is neither form."""
    if isinstance(value, str) and value:
        return value, KEY
    if isinstance(value, dict) and len(value) == 1:
        ((column, path),) = value.items()
        if isinstance(column, str) and isinstance(path, str) and path:
            return path, column
    return None
