"""Short names of runs, which show only settings that differ."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from hpc_xfer.config.finetune_recipes import AdamWFinetune, Finetune
from hpc_xfer.config.recipes import encoder_points
from hpc_xfer.study.plan import Run

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


def shared_columns(rows: Sequence[Settings]) -> dict[str, Any]:
    """Return the columns that are equal in all rows, with their value."""
    different = set(differing_columns(rows))
    return {name: rows[0][name] for name in label_columns(rows) if name not in different}


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
        run.id: {key: value for key, value in run.columns.items() if key != "pretrain_seed"}
        for run in parents
    }
    for shorten in (_short_value, str):
        labels = _labels(rows, shorten)
        if not (unclear := _unclear(parents, labels)):
            return labels
    return labels | {run_id: f"{labels[run_id]} #{tag}" for run_id, tag in unclear.items()}


def name_settings(rows: Mapping[Key, Settings]) -> dict[Key, str]:
    """Name encoders by their columns as `pretrain_labels` does; different columns, other names."""
    labels = _labels(rows, _short_value)
    return labels if len(set(labels.values())) == len(labels) else _labels(rows, str)


def brief_label(label: str) -> str:
    """Shorten a label for names of files and jobs (file systems allow 255 bytes in all); a digest
    replaces the end.
    """
    encoded = label.encode()
    if len(encoded) <= _BRIEF:
        return label
    start = encoded[:_BRIEF].decode(errors="ignore").rstrip()
    return f"{start} {hashlib.sha256(encoded).hexdigest()[:6]}"


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
_AT, _SEEN = " at ", " seen"


def run_title(run: Run, labels: Mapping[str, str]) -> str:
    """Describe a run: `clip sans 8k` or `clip sans 8k -> digits 5 shots, draw 0, ft, lr 0.001`."""
    if not isinstance(run.recipe, Finetune):
        return labels[run.id]
    trial = run.recipe
    what = f"{trial.dataset} {trial.shots} shots, draw {trial.draw}, {trial.mode}"
    lr = f", lr {trial.lr:g}" if isinstance(trial, AdamWFinetune) else ""
    return f"{run_label(run, labels)} -> {what}{lr}"


def _labels(rows: Mapping[Key, Settings], shorten: Callable[[Any], str]) -> dict[Key, str]:
    short = {key: _short(row) for key, row in rows.items()}
    labels = {}
    for key, row in rows.items():
        alike = [rows[other] for other in rows if short[other] == short[key]]
        extra = differing_columns(alike)
        words = [f"{name.removeprefix('pretrain_')}={shorten(row.get(name))}" for name in extra]
        labels[key] = " ".join([short[key], *words])
    return labels


def _unclear(parents: Sequence[Run], labels: Mapping[str, str]) -> dict[str, str]:
    """Tag runs that share a label though more than the seed differs."""
    what = {
        run.id: json.dumps({k: v for k, v in run.spec.items() if k != "seed"}, sort_keys=True)
        for run in parents
    }
    meanings: dict[str, set[str]] = {}
    for run_id, label in labels.items():
        meanings.setdefault(label, set()).add(what[run_id])
    tags: dict[str, str] = {}
    for run_id in sorted(what):
        tags.setdefault(what[run_id], run_id[:6])
    return {r: tags[what[r]] for r, label in labels.items() if len(meanings[label]) > 1}


def _short(row: Settings) -> str:
    parts = [str(row[name]) for name in ("method", "source", "weights") if name in row]
    return " ".join([*parts, *([short_count(row["samples"])] if "samples" in row else [])])


def _short_value(value: Any) -> str:
    return short_count(value) if isinstance(value, int) and value >= 1000 else str(value)
