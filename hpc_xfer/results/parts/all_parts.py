"""All parts of a study, from the cache where their files are as they were."""

import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.results.encoder_info import EncoderInfo, encoder_key
from hpc_xfer.results.panels import PanelKey
from hpc_xfer.results.parts.names import Names, run_ids
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
    def of_panels(self) -> dict[PanelKey, list[PlacedPart]]:
        """Panel -> the parts in it."""
        found: dict[PanelKey, list[PlacedPart]] = {}
        for each in self.all:
            for mode, dataset, _ in each.part.hours if each.dataset else ():
                found.setdefault((mode, dataset, each.shots), []).append(each)
        return found

    def table(self, *names: str) -> Lines:
        """Join a table of all parts, or several of the same columns."""
        texts = [each.part.tables[name].text for name in names for each in self.all]
        return Lines(tuple(self.columns[names[0]]), "".join(texts))

    @property
    def states(self) -> Counter[str]:
        return sum((Counter(each.part.states) for each in self.all), Counter())

    @property
    def set_aside(self) -> list[tuple[str, str]]:
        return [found for each in self.all for found in each.part.set_aside]


def read_parts(plan: Plan, store: Store, cache: RecordCache) -> Parts:
    """Read all parts of a plan."""
    names = Names.of(plan)
    return _Reading(names, store, cache, PartReader(names, store)).read(plan)


@dataclass(frozen=True)
class _Reading:
    names: Names
    store: Store
    cache: RecordCache
    reader: PartReader

    def read(self, plan: Plan) -> Parts:
        """Read parts as if data sets had one version; read those again that turn out to have more.

        Texts in the cache are laid out in the columns of the last time. Where these are others now
        (a first record has another metric), all parts are read again.
        """
        columns: Columns | None = self.cache.get("columns")
        folder = os.fspath(self.store.runs)
        placed: list[PlacedPart] = []
        finished: set[str] = set()
        ids = iter(run_ids(plan, self.cache))
        for runs in _grouped(plan.runs):
            files = [_state_of(f"{folder}/{run_id}") for run_id in itertools.islice(ids, len(runs))]
            placed.append(self._placed(runs, files, finished, columns))
            if runs[0].kind == "pretrain" and placed[-1].part.states["finished"]:
                finished.add(runs[0].id)
        versions = _versions(placed)
        for i, each in enumerate(placed):
            own = versions.get(each.dataset, {})
            found = {key: own[key] for key in each.part.tests if key in own}
            if dict(each.part.versions) != found:
                placed[i] = self._again(each, finished, found)
        wanted = _columns(self.names, [each.part.facts for each in placed])
        if columns is not None and wanted != columns:
            placed = [self._again(each, finished, dict(each.part.versions)) for each in placed]
        self.cache.put("columns", wanted)
        return Parts(self.names, wanted, [self._kept(each, wanted) for each in placed])

    def _placed(
        self,
        runs: Sequence[Run],
        files: Sequence[FileState],
        finished: Collection[str],
        columns: Columns | None,
    ) -> PlacedPart:
        """Take a part from the cache, or read it."""
        first = runs[0]
        parent = first.parents[0] if first.parents else first
        key = key_of("part", self.names.digest, parent.id in finished, files)
        told = None if columns is None else self.cache.get(key)
        if told is None or columns is None:
            part = self.reader.read(runs, finished, {})
        else:
            part = Part.from_json(told, columns)
        recipe = first.recipe
        dataset, shots = "", ""
        if isinstance(recipe, Finetune):
            dataset, shots = recipe.dataset, str(recipe.shots)
        encoder = self.names.encoders[encoder_key(first)]
        return PlacedPart(part, key, told is None, runs, parent, encoder, dataset, shots)

    def _again(
        self, placed: PlacedPart, finished: Collection[str], versions: Mapping[TestKey, str]
    ) -> PlacedPart:
        part = self.reader.read(placed.runs, finished, versions)
        return replace(placed, part=part, is_new=True)

    def _kept(self, placed: PlacedPart, columns: Columns) -> PlacedPart:
        """Lay out the tables of a new part, and put it into the cache."""
        if not placed.is_new:
            return placed
        tables = {name: t.laid_out(columns[name]) for name, t in placed.part.tables.items()}
        part = replace(placed.part, tables=tables)
        self.cache.put(placed.key, part.as_json)
        return replace(placed, part=part)


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


def _versions(placed: Iterable[PlacedPart]) -> Versions:
    tests: dict[str, dict[TestKey, None]] = {}
    for each in placed:
        tests.setdefault(each.dataset, {}).update(dict.fromkeys(each.part.tests))
    return {dataset: version_names(dataset, keys) for dataset, keys in tests.items()}


def _columns(names: Names, facts: Sequence[Facts]) -> dict[str, list[str]]:
    """The columns of all tables, without those that would be empty."""
    filled = {
        table: {name for each in facts for name in each.filled.get(table, ())}
        for table in ("cells", "missing")
    }
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
    kept = [
        c for c in cells if c not in one_grid and (c not in LATER_COLUMNS or c in filled["cells"])
    ]
    missing = [
        c for c in missing_columns(names.tuned) if c not in LATER_COLUMNS or c in filled["missing"]
    ]
    runs = runs_columns(names, {name for each in facts for name in each.metrics})
    return {"runs": runs, "cells": kept, **dict.fromkeys(MISSING_ROWS, missing)}
