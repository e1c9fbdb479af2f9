"""One part of a study as tables take it; it can be kept as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.parts.record_cache import key_of
from hpc_xfer.results.parts.test_sets import TestKey
from hpc_xfer.results.scores import Score
from hpc_xfer.results.tables.csv_files import Lines

TABLES = ("runs", "cells", "absent", "incomplete", "hopeless", "mixed")
_SCORED = tuple(each.name for each in fields(Score) if each.name != "encoder")


@dataclass(frozen=True)
class Facts:
    """Facts that decide the columns of tables; fields are sorted, or in order of appearance."""

    metrics: Sequence[str] = ()  # that a run measured
    varying: Sequence[str] = ()  # settings of fine-tunings, in chosen cells
    further: Sequence[str] = ()  # metrics of further test sets
    filled: Sequence[str] = ()  # optional columns of cells.csv that have a value
    grids: Mapping[str, Sequence[str]] = field(default_factory=dict)  # column -> grids in it


@dataclass(frozen=True)
class Part:
    """The runs of one encoder, data set and shot count; or one pre-training."""

    states: Mapping[str, int]  # finished | failed | blocked | not run -> runs
    tables: Mapping[str, Lines]  # see TABLES
    facts: Facts = Facts()
    scores: Sequence[Sequence[Any]] = ()  # fields of Score, see `score`; one per planned cell
    hits: Sequence[tuple[str, int | None] | None] = ()  # chosen run and row; one per planned cell
    varying: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)  # of modes
    tests: Sequence[TestKey] = ()  # test images of its runs
    versions: Sequence[tuple[TestKey, str]] = ()  # their names, where there are several
    hours: Sequence[tuple[str, str, float]] = ()  # (mode, data set) of its runs, or empty
    on_gpu: bool = False
    set_aside: Sequence[tuple[str, str]] = ()  # file in the store, reason

    def scored(self, encoder: EncoderInfo) -> list[Score]:
        return [Score(encoder, *values) for values in self.scores]

    @property
    def as_json(self) -> dict[str, Any]:
        """All but the columns of its tables, which all parts share: a digest stands for them."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        texts = {name: lines.text for name, lines in self.tables.items()}
        layout = _layout({name: lines.columns for name, lines in self.tables.items()})
        return own | {"facts": vars(self.facts), "tables": texts, "layout": layout}

    @classmethod
    def from_json(cls, told: dict[str, Any], columns: Mapping[str, Sequence[str]]) -> "Part | None":
        """Restore a part; None where its tables have other columns."""
        if told.pop("layout") != _layout(columns):
            return None
        tables = {name: Lines(tuple(columns[name]), text) for name, text in told["tables"].items()}
        return cls(
            **{
                **told,
                "tables": tables,
                "facts": Facts(**told["facts"]),
                "varying": {
                    mode: tuple((name, value) for name, value in settings)
                    for mode, settings in told["varying"].items()
                },
                "tests": [(digest, n_test) for digest, n_test in told["tests"]],
                "set_aside": [(path, why) for path, why in told["set_aside"]],
                "versions": [((digest, n), name) for (digest, n), name in told["versions"]],
            }
        )


def _layout(columns: Mapping[str, Sequence[str]]) -> str:
    return key_of([(name, tuple(columns[name])) for name in TABLES])


def values_of(score: Score) -> list[Any]:
    """The fields of a score but its encoder, as `Part.scores` has them."""
    return [getattr(score, name) for name in _SCORED]
