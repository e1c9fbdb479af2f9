"""All parts of a study, from the cache where their files are as they were."""

import functools
import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.results.answers.selection import CellRows
from hpc_xfer.results.encoder_info import EncoderInfo, encoder_key
from hpc_xfer.results.panels import PanelKey
from hpc_xfer.results.parts.missing_runs import ParentState
from hpc_xfer.results.parts.names import NamedPlan, Names
from hpc_xfer.results.parts.part import Facts, Part
from hpc_xfer.results.parts.read_part import PartReader
from hpc_xfer.results.parts.record_cache import RecordCache, key_of, stat_of
from hpc_xfer.results.parts.test_sets import TestKey, version_names
from hpc_xfer.results.scores import Score
from hpc_xfer.results.tables.cells_table import LATER_COLUMNS, cells_columns
from hpc_xfer.results.tables.csv_files import Lines
from hpc_xfer.results.tables.missing_table import MISSING_ROWS, missing_columns
from hpc_xfer.results.tables.runs_table import runs_columns
from hpc_xfer.store.paths import ERROR, RECORD
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run

Columns = Mapping[str, Sequence[str]]  # table -> its columns
FileState = tuple[object, ...]
Versions = Mapping[str, Mapping[TestKey, str]]  # data set -> names of its versions, if several


@dataclass(frozen=True)
class PlacedPart:
    """A part with its place in the study."""

    part: Part
    key: str  # stands for the files that it was read from
    is_new: bool  # not from the cache
    runs: Sequence[Run]
    parent: Run
    encoder: EncoderInfo
    dataset: str  # empty for a pre-training
    shots: str

    @property
    def state(self) -> str:
        """Stands for everything in the part."""
        return key_of(self.key, self.part.versions)

    @cached_property
    def scores(self) -> list[Score]:
        return self.part.scored(self.encoder)


@dataclass(frozen=True)
class Parts:
    """All parts of a study, in the order of its plan."""

    names: Names
    columns: Columns
    all: Sequence[PlacedPart]

    @cached_property
    def scores(self) -> list[Score]:
        return [score for each in self.all for score in each.scores]

    @property
    def panel_settings(self) -> dict[PanelKey, tuple[tuple[str, str], ...]]:
        """Settings of fine-tunings that vary in the study, for each panel."""
        return {
            (score.mode, score.dataset, score.shots): tuple(each.part.varying[score.mode])
            for each in self.all
            for score in each.scores
        }

    @property
    def cell_rows(self) -> list[CellRows]:
        """The rows of cells.csv, those of one data set and shot count together."""
        placed: dict[tuple[str, str], list[PlacedPart]] = {}
        for each in self.all:
            if each.dataset:
                placed.setdefault((each.dataset, each.shots), []).append(each)
        return [
            CellRows(
                shots=shots,
                state=key_of([each.state for each in found], self.columns["cells"]),
                read=functools.partial(_rows, [each.part.tables["cells"] for each in found]),
            )
            for (_, shots), found in placed.items()
        ]

    @property
    def of_panels(self) -> dict[PanelKey, list[PlacedPart]]:
        """Panel -> the parts in it."""
        found: dict[PanelKey, list[PlacedPart]] = {}
        for each in self.all:
            for mode, dataset, _ in each.part.hours if each.dataset else ():
                found.setdefault((mode, dataset, each.shots), []).append(each)
        return found

    def table(self, name: str) -> Lines:
        """Join a table of all parts."""
        texts = [each.part.tables[name].text for each in self.all]
        return Lines(tuple(self.columns[name]), "".join(texts))

    @property
    def missing(self) -> Lines:
        """The rows of missing.csv."""
        first, *others = (self.table(kind) for kind in MISSING_ROWS)
        return sum(others, first).without_empty(LATER_COLUMNS)

    @property
    def states(self) -> Counter[str]:
        return sum((Counter(each.part.states) for each in self.all), Counter())

    @property
    def set_aside(self) -> list[tuple[str, str]]:
        return [found for each in self.all for found in each.part.set_aside]


def _rows(tables: Sequence[Lines]) -> list[dict[str, str]]:
    return [row for lines in tables for row in lines.rows]


def read_parts(plan: Plan, store: Store, cache: RecordCache) -> Parts:
    """Read all parts of a plan."""
    named = NamedPlan.of(plan, cache)
    return _Reading(named.names, store, cache, PartReader(named.names, store)).read(named)


@dataclass(frozen=True)
class _Reading:
    names: Names
    store: Store
    cache: RecordCache
    reader: PartReader

    def read(self, plan: NamedPlan) -> Parts:
        """Read parts as if data sets had one version; read those again that turn out to have more.

        Texts in the cache are laid out in the columns of the last time.
        """
        columns: Columns | None = self.cache.get("plan", "columns")
        folder = os.fspath(self.store.runs)
        placed: list[PlacedPart] = []
        parents: dict[str, ParentState] = {}
        ids = iter(plan.ids)
        for runs in _grouped(plan.runs):
            files = [_state_of(f"{folder}/{run_id}") for run_id in itertools.islice(ids, len(runs))]
            placed.append(self._placed(runs, files, parents, columns))
            if runs[0].kind == "pretrain":
                parents[runs[0].id] = _parent_state(placed[-1].part)
        versions = _versions(placed)
        for i, each in enumerate(placed):
            own = versions.get(each.dataset, {})
            found = {key: own[key] for key in each.part.tests if key in own}
            if dict(each.part.versions) != found:
                placed[i] = self._again(each, parents, found)
        wanted = _columns(self.names, [each.part.facts for each in placed])
        for i, each in enumerate(placed):
            if columns is not None and _lacks(each, set(wanted["cells"]) - set(columns["cells"])):
                placed[i] = self._again(each, parents, dict(each.part.versions))
        self.cache.put("plan", "columns", wanted)
        return Parts(self.names, wanted, [self._kept(each, wanted) for each in placed])

    def _placed(
        self,
        runs: Sequence[Run],
        files: Sequence[FileState],
        parents: Mapping[str, ParentState],
        columns: Columns | None,
    ) -> PlacedPart:
        """Take a part from the cache, or read it."""
        first = runs[0]
        before = first.parents[0] if first.parents else first
        parent = before if first.kind == "finetune" else first
        key = key_of("part", self.names.digest, parents.get(before.id), files)
        told = self.cache.get(parent.id, key)
        part = None if told is None or columns is None else Part.from_json(told, columns)
        is_new = part is None
        if part is None:
            part = self.reader.read(runs, parents, {})
        recipe = first.recipe
        dataset, shots = "", ""
        if isinstance(recipe, Finetune):
            dataset, shots = recipe.dataset, str(recipe.shots)
        encoder = self.names.encoders[encoder_key(first)]
        return PlacedPart(part, key, is_new, runs, parent, encoder, dataset, shots)

    def _again(
        self,
        placed: PlacedPart,
        parents: Mapping[str, ParentState],
        versions: Mapping[TestKey, str],
    ) -> PlacedPart:
        part = self.reader.read(placed.runs, parents, versions)
        return replace(placed, part=part, is_new=True)

    def _kept(self, placed: PlacedPart, columns: Columns) -> PlacedPart:
        """Lay out the tables of a part; put it into the cache if it is not there like this."""
        as_wanted = all(t.columns == tuple(columns[name]) for name, t in placed.part.tables.items())
        if as_wanted and not placed.is_new:
            return placed
        tables = {name: t.laid_out(columns[name]) for name, t in placed.part.tables.items()}
        part = replace(placed.part, tables=tables)
        self.cache.put(placed.parent.id, placed.key, part.as_json)
        return replace(placed, part=part)


def _parent_state(part: Part) -> ParentState:
    """The state of the one pre-training in a part."""
    if part.states["finished"]:
        return "finished"
    return "failed" if part.states.get("failed") or part.states.get("blocked") else "not run"


def _grouped(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Yield the runs of each part; they follow each other in a plan."""
    for _, group in itertools.groupby(runs, _place):
        yield list(group)


def _place(run: Run) -> tuple[object, ...]:
    recipe = run.recipe
    if isinstance(recipe, Finetune):
        return encoder_key(run), recipe.dataset, recipe.shots
    return (run.id,)


def _state_of(folder: str) -> FileState:
    """Everything about a run's folder that changes with its names and its record.

    A new name, or a file that is replaced, changes the time of the folder.
    """
    record = stat_of(f"{folder}/{RECORD}")
    return folder, stat_of(folder), record or stat_of(f"{folder}/{ERROR}")


def _lacks(placed: PlacedPart, columns: Collection[str]) -> bool:
    """True where a part in the cache was laid out without columns that it has values for.

    A column of grids is left out while there is one grid; no other is left out with values in it.
    """
    return not placed.is_new and any(placed.part.facts.grids.get(name) for name in columns)


def _versions(placed: Iterable[PlacedPart]) -> Versions:
    tests: dict[str, dict[TestKey, None]] = {}
    for each in placed:
        tests.setdefault(each.dataset, {}).update(dict.fromkeys(each.part.tests))
    return {dataset: version_names(dataset, keys) for dataset, keys in tests.items()}


def _columns(names: Names, facts: Sequence[Facts]) -> dict[str, list[str]]:
    """The columns of the tables of parts.

    Those of missing runs and cells are whole, as they are few: `Parts.missing` leaves some out.
    """
    filled = {name for each in facts for name in each.filled}
    grids: dict[str, set[str]] = {}
    for each in facts:
        for name, found in each.grids.items():
            grids.setdefault(name, set()).update(found)
    one_grid = {name for name, found in grids.items() if len(found) < 2}
    cells = cells_columns(
        names.tuned,
        varying=dict.fromkeys(name for each in facts for name in each.varying),
        further=sorted({name for each in facts for name in each.further}),
    )
    empty = one_grid | (LATER_COLUMNS - filled)
    return {
        "runs": runs_columns(names, {name for each in facts for name in each.metrics}),
        "cells": [name for name in cells if name not in empty],
        **dict.fromkeys(MISSING_ROWS, missing_columns(names.tuned)),
    }
