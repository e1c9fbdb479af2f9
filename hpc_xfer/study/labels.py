"""Short names of runs, which show only settings that differ.

pretrain_labels(parents)       # of encoders: seeds share one, as results are taken over seeds
run_labels(parents)            # of single runs: the seed is told where runs share a label
RunTitles(plan).of(run)        # of any run
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune
from hpc_xfer.config.recipes import encoder_points
from hpc_xfer.study.plan import NONE, Plan, Run

Settings = Mapping[str, Any]
Key = TypeVar("Key")


def label_columns(rows: Iterable[Settings]) -> list[str]:
    """List all keys, in order of first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row))


def differing_columns(rows: Sequence[Settings]) -> list[str]:
    """List columns in which two rows differ, or that a row lacks."""
    return [
        name for name in label_columns(rows) if len({str(row.get(name, "")) for row in rows}) > 1
    ]


def short_count(number: int) -> str:
    """Shorten: 2_700_000 -> 2.7M, 8000 -> 8k, 950 -> 950."""
    rounded = float(f"{number:.3g}")  # first, since 999,999 is 1M
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if number >= 1000 and rounded >= size:
            return f"{rounded / size:g}{letter}"
    return str(number)


def pretrain_labels(parents: Sequence[Run]) -> dict[str, str]:
    """Name each pre-training; two have the same name only if they differ in nothing but the seed.

    `clip sans 8k`, `scratch`; other settings follow where they differ: `clip sans 8k lr=0.001`.
    Counts that rounding makes equal are written in full. Runs that no column distinguishes (two
    JSON files of one name) get the start of a run id.
    """
    rows = {
        run.id: {key: value for key, value in run.columns.items() if key not in _UNNAMED}
        for run in parents
    }
    for shorten in (_short_value, str):
        labels = _labels(rows, shorten)
        if not (unclear := _unclear(parents, labels)):
            return labels
    return labels | {run_id: f"{labels[run_id]} #{tag}" for run_id, tag in unclear.items()}


def run_labels(parents: Sequence[Run]) -> dict[str, str]:
    """Name each pre-training so that no two names are alike: `clip sans 8k seed 1`.

    The seed follows exactly where several runs share the label that results give them.
    """
    seeds = {run.id: run.spec.get("seed", "") for run in parents}
    return with_seeds(pretrain_labels(parents), seeds)


def with_seeds(labels: Mapping[str, str], seeds: Mapping[str, object]) -> dict[str, str]:
    """Add the seed of each run to its label where several runs share the label."""
    count = Counter(labels.values())
    return {
        run: f"{label}{_SEED}{seeds[run]}" if count[label] > 1 and seeds[run] != "" else label
        for run, label in labels.items()
    }


def name_settings(rows: Mapping[Key, Settings]) -> dict[Key, str]:
    """Name encoders by their columns as `pretrain_labels` does; different columns, other names."""
    labels = _labels(rows, _short_value)
    return labels if len(set(labels.values())) == len(labels) else _labels(rows, str)


def brief_label(label: str) -> str:
    """Shorten a label for names of files and jobs (file systems allow 255 bytes in all); a digest
    replaces the end, but for the seed.
    """
    encoded = label.encode()
    if len(encoded) <= _BRIEF:
        return label
    seed = found[0] if (found := re.search(rf"{_SEED}\d{{1,20}}$", label)) else ""
    start = encoded[: _BRIEF - len(seed)].decode(errors="ignore").rstrip()
    return f"{start} {hashlib.sha256(encoded).hexdigest()[:6]}{seed}"


def run_label(run: Run, labels: Mapping[str, str]) -> str:
    """Label the encoder that a run makes or starts from, given the labels of pre-trainings."""
    if not isinstance(run.recipe, Finetune):
        return labels[run.id]
    return at_snapshot(run.parents[0], run.recipe.snapshot, labels)


def at_snapshot(parent: Run, snapshot: int | None, labels: Mapping[str, str]) -> str:
    """Label a snapshot: `clip sans 8k at 2k seen`; in full if rounding makes two equal."""
    if snapshot is None:
        return labels[parent.id]
    assert not isinstance(parent.recipe, Finetune)
    short = [short_count(n) for n in encoder_points(parent.recipe) if n is not None]
    said = short_count(snapshot) if len(set(short)) == len(short) else str(snapshot)
    return f"{labels[parent.id]}{_AT}{said}{_SEEN}"


def without_snapshot(label: str) -> str:
    """Return the label of the pre-training, given its own or that of a snapshot."""
    return label.rpartition(_AT)[0] if label.endswith(_SEEN) else label


_BRIEF = 60  # bytes
_UNNAMED = ("pretrain_seed", "pretrain_ranks")  # the latter is told by `batchnorm`
_AT, _SEEN, _SEED = " at ", " seen", " seed "
_NAMING = ("method", "source", "pretrain_select", "weights")  # begin a label, then the samples
_PLACE = ("dataset", "shots", "draw", "mode", "snapshot")  # in every title


class RunTitles:
    """Titles of the runs of a plan: no two fine-tunings of one pre-training have the same."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.labels = run_labels(plan.of("pretrain"))

    def of(self, run: Run) -> str:
        """Describe a run: `clip sans 8k` or `clip sans 8k -> digits 5 shots, draw 0, ft, lr 1e-3`.

        Other settings follow where fine-tunings of the same place differ in them.
        """
        if not isinstance(run.recipe, Finetune):
            return self.labels[run.id]
        trial = run.recipe
        what = f"{trial.dataset} {trial.shots} shots, draw {trial.draw}, {trial.mode}"
        shown = ["lr"] if isinstance(trial, AdamWFinetune) else []
        shown += [name for name in self._differing[_place(trial)] if name not in shown]
        settings = [
            f"{name.replace('_', ' ')} {_setting(run.spec.get(name, getattr(trial, name, None)))}"
            for name in shown
            if name in run.spec or name in type(trial).model_fields
        ]
        return f"{run_label(run, self.labels)} -> {', '.join([what, *settings])}"

    @cached_property
    def _differing(self) -> dict[tuple[object, ...], list[str]]:
        """List for each place the settings in which its fine-tunings differ.

        Where solvers differ, so do most other settings, and the name of the solver tells enough.
        """
        trials: dict[tuple[object, ...], dict[int, Settings]] = {}
        for run in self.plan.of("finetune"):  # most share the recipe object with other parents
            assert isinstance(run.recipe, Finetune)
            trials.setdefault(_place(run.recipe), {})[id(run.recipe)] = run.spec
        return {place: _told_apart_by(list(rows.values())) for place, rows in trials.items()}


def _place(trial: Finetune) -> tuple[object, ...]:
    return tuple(getattr(trial, name) for name in _PLACE)


def _told_apart_by(specs: Sequence[Settings]) -> list[str]:
    by_solver: dict[object, list[Settings]] = {}
    for spec in specs:
        by_solver.setdefault(spec.get("solver"), []).append(spec)
    found = ["solver"] if len(by_solver) > 1 else []
    for alike in by_solver.values():
        found += [name for name in differing_columns(alike) if name not in found]
    return found


def _setting(value: Any) -> str:
    """Write a value so that no other value of its setting is written alike."""
    if value is None:
        return NONE
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _labels(rows: Mapping[Key, Settings], shorten: Callable[[Any], str]) -> dict[Key, str]:
    short = {key: _short(row) for key, row in rows.items()}
    labels = {}
    for key, row in rows.items():
        alike = [rows[other] for other in rows if short[other] == short[key]]
        extra = differing_columns(alike)
        words = [
            f"{name.removeprefix('pretrain_')}={shorten(row.get(name, NONE))}" for name in extra
        ]
        labels[key] = " ".join([short[key], *words])
    return labels


def _unclear(parents: Sequence[Run], labels: Mapping[str, str]) -> dict[str, str]:
    """Tag runs that share a label though more than the seed differs."""
    what = {run.id: _meaning(run) for run in parents}
    meanings: dict[str, set[str]] = {}
    for run_id, label in labels.items():
        meanings.setdefault(label, set()).add(what[run_id])
    tags: dict[str, str] = {}
    for run_id in sorted(what):
        tags.setdefault(what[run_id], run_id[:6])
    return {r: tags[what[r]] for r, label in labels.items() if len(meanings[label]) > 1}


def _meaning(run: Run) -> str:
    """Text of all settings that decide a pre-training but seeds."""
    spec = {name: value for name, value in run.spec.items() if name != "seed"}
    before = [_meaning(parent) for parent in run.parents]
    return json.dumps([spec, before] if before else spec, sort_keys=True)


def _short(row: Settings) -> str:
    parts = [str(row[name]) for name in _NAMING if name in row]
    return " ".join([*parts, *([short_count(row["samples"])] if "samples" in row else [])])


def _short_value(value: Any) -> str:
    return short_count(value) if isinstance(value, int) and value >= 1000 else str(value)
