"""Turn the records of a study into CSVs; the same records give the same bytes."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.config.recipes import Finetune, points
from hpc_xfer.results import averages, csv_files
from hpc_xfer.results.averages import ORIGIN, Average, EncoderInfo, Score
from hpc_xfer.results.missing_runs import DIVERGED, MissingRun, Record, missing, usable_records
from hpc_xfer.results.selection import Cell, Choice, all_diverged, cells, choose, partly_done
from hpc_xfer.store.store import Store
from hpc_xfer.study.labels import at_snapshot, label_columns, pretrain_labels
from hpc_xfer.study.plan import Plan, Run

TABLES = ("runs", "cells", "averages", "missing")
_FIRST = (
    "val_top1", "test_top1", "test_top5", "test_per_class", "n_test", "n_val", "train_images",
    "train_loss", "final_loss", "samples_per_second", "skipped_samples", "steps",
)  # metrics that all runs of a kind have; what else there is stands behind, sorted  # fmt: skip
_PLACE = ("pretrain_seed", "dataset", "shots", "draw", "mode")
Encoder = tuple[str, int | None]  # a pre-training and one of its snapshots, or its end (None)
Why = Mapping[str, str]  # state, class and message of a cell that nothing was chosen from


@dataclass(frozen=True)
class Collected:
    """What there is, what is not, and where it was written."""

    planned: int  # runs
    finished: int
    failed: int
    blocked: int  # their parent has no result
    not_run: int
    cells: int
    cells_complete: int
    averages: tuple[Average, ...]
    files: Mapping[str, Path]  # runs, cells, averages, missing

    @property
    def summary(self) -> dict[str, object]:
        """For --json."""
        runs = {name: getattr(self, name) for name in COUNTS}
        return {
            "schema": 1,
            "runs": runs,
            "cells": {"planned": self.cells, "complete": self.cells_complete},
            "files": {name: str(path) for name, path in self.files.items()},
        }


COUNTS = ("planned", "finished", "failed", "blocked", "not_run")


def collect(plan: Plan, store: Store, out: Path) -> Collected:
    """Read every record of the plan and write the CSVs to `out`.

    Raises:
        StoreError: `out` cannot be written.
    """
    records = usable_records(plan, store)
    absent = missing(plan, store, records)
    metrics = {run_id: record["metrics"] for run_id, record in records.items()}
    origins = _origins(plan)
    all_cells = cells(plan)
    lost = {gap.run.id for gap in absent if (gap.state, gap.error) == ("failed", DIVERGED)}
    choices = [choose(cell, plan.tuned, metrics, lost) for cell in all_cells]
    chosen = [choice for choice in choices if choice is not None]
    means = averages.averages(
        [_score(cell, choice, origins) for cell, choice in zip(all_cells, choices, strict=True)]
    )
    paths = {name: out / f"{name}.csv" for name in TABLES}
    _write_runs(paths["runs"], plan, origins, records)
    rows = [_cell_row(choice, plan.tuned, origins) for choice in chosen]
    csv_files.write(paths["cells"], _cell_columns(plan.tuned), rows)
    csv_files.write(paths["averages"], averages.COLUMNS, [mean.row for mean in means])
    waiting = [*_waiting(all_cells, records.keys() | lost), *_without_hope(all_cells, lost)]
    _write_missing(paths["missing"], plan, origins, absent, waiting)
    states = Counter(gap.state for gap in absent)
    return Collected(
        planned=len(plan.runs),
        finished=len(records),
        failed=states["failed"],
        blocked=states["blocked"],
        not_run=states["not run"],
        cells=len(all_cells),
        cells_complete=len(chosen),
        averages=tuple(means),
        files=paths,
    )


def _origins(plan: Plan) -> dict[Encoder, EncoderInfo]:
    """Of every pre-training and its snapshots."""
    parents = plan.of("pretrain")
    labels = pretrain_labels(parents)
    return {
        (run.id, point): _origin(run, point, labels) for run in parents for point in _points(run)
    }


def _points(run: Run) -> tuple[int | None, ...]:
    assert not isinstance(run.recipe, Finetune)
    return points(run.recipe)


def _origin(run: Run, snapshot: int | None, labels: Mapping[str, str]) -> EncoderInfo:
    columns = run.columns
    return EncoderInfo(
        label=at_snapshot(run, snapshot, labels),
        method=columns["method"],
        arch=columns["arch"],
        source=columns.get("source", ""),
        samples=columns.get("samples"),
        samples_seen=columns.get("samples_seen") if snapshot is None else snapshot,
        snapshot=snapshot,
    )


def _encoder(run: Run) -> Encoder:
    """What a run makes or starts from."""
    if isinstance(run.recipe, Finetune):
        return run.parents[0].id, run.recipe.snapshot
    return run.id, None


def _score(cell: Cell, choice: Choice | None, origins: Mapping[Encoder, EncoderInfo]) -> Score:
    recipe = cell.recipe
    return Score(
        origin=origins[_encoder(cell.trials[0])],
        seed=csv_files.cell(cell.seed),
        dataset=recipe.dataset,
        shots=str(recipe.shots),
        draw=str(recipe.draw),
        mode=recipe.mode,
        top1=None if choice is None else choice.metrics["test_top1"],
    )


def _write_runs(
    path: Path, plan: Plan, origins: Mapping[Encoder, EncoderInfo], records: Mapping[str, Record]
) -> None:
    settings = label_columns(run.columns for run in plan.runs)
    measured = _measured(records.values())
    called = {name: f"measured_{name}" if name in settings else name for name in measured}
    columns = [*_identity(plan.runs[0], origins), *settings, *called.values(), *_how({})]

    def rows() -> Iterator[dict[str, object]]:  # one at a time: 40,000 with all settings are large
        for run_id, record in records.items():
            run = plan.by_id[run_id]
            metrics = {called[name]: _shown(value) for name, value in record["metrics"].items()}
            yield {**_identity(run, origins), **run.columns, **metrics, **_how(record)}

    csv_files.write(path, columns, rows())


def _identity(run: Run, origins: Mapping[Encoder, EncoderInfo]) -> dict[str, str]:
    parent = run.parents[0].id if run.parents else ""
    label = origins[_encoder(run)].label
    return {"run": run.id, "kind": run.kind, "label": label, "parent": parent}


def _measured(records: Iterable[Record]) -> list[str]:
    found = {name for record in records for name in record["metrics"]}
    return [*(name for name in _FIRST if name in found), *sorted(found - set(_FIRST))]


def _shown(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return csv_files.fixed(value) if isinstance(value, float) else value


def _how(record: Record) -> dict[str, object]:
    """How long, where and with which code; empty where the record does not say."""
    seconds = record.get("timing", {}).get("seconds")
    source = record.get("provenance", {})
    told = {name: source.get(name) for name in ("host", "gpu", "commit", "dirty", "restarts")}
    torch = source.get("packages", {}).get("torch")
    return {"seconds": csv_files.fixed(seconds, 3), **told, "torch": torch}


def _place(cell: Cell, origins: Mapping[Encoder, EncoderInfo]) -> dict[str, object]:
    """What identifies a cell."""
    recipe = cell.recipe
    return {
        **origins[_encoder(cell.trials[0])].row,
        "parent": cell.parent.id,
        "pretrain_seed": cell.seed,
        "dataset": recipe.dataset,
        "shots": recipe.shots,
        "draw": recipe.draw,
        "mode": recipe.mode,
    }


def _cell_columns(tuned: Sequence[str]) -> list[str]:
    pairs = [name for key in tuned for name in (key, f"{key}_edge")]
    return [
        *ORIGIN, "parent", *_PLACE, "trials", "diverged", "trials_planned", "run", *pairs,
        "val_top1", "test_top1", "test_top5", "test_per_class", "test_mean_of_trials",
        "test_best_of_trials", "n_val", "n_test", "train_images",
    ]  # fmt: skip


def _cell_row(
    choice: Choice, tuned: Sequence[str], origins: Mapping[Encoder, EncoderInfo]
) -> dict[str, object]:
    cell, metrics = choice.cell, choice.metrics
    shares = ("val_top1", "test_top1", "test_top5", "test_per_class")
    return {
        **_place(cell, origins),
        "trials": len(cell.trials) - choice.diverged,
        "diverged": choice.diverged,
        "trials_planned": len(cell.trials),
        "run": choice.run.id,
        **{key: getattr(choice.run.recipe, key) for key in tuned},
        **{f"{key}_edge": end for key, end in choice.edges.items()},
        **{name: csv_files.fixed(metrics.get(name)) for name in shares},
        "test_mean_of_trials": csv_files.fixed(choice.test_mean_of_trials),
        "test_best_of_trials": csv_files.fixed(choice.test_best_of_trials),
        **{name: metrics.get(name) for name in ("n_val", "n_test", "train_images")},
    }


def _write_missing(
    path: Path,
    plan: Plan,
    origins: Mapping[Encoder, EncoderInfo],
    absent: Sequence[MissingRun],
    waiting: Sequence[tuple[Cell, Why]],
) -> None:
    """Runs first, then cells; both in the order of the plan."""
    columns = [
        "run", "kind", *ORIGIN, "parent", *_PLACE, *plan.tuned, "state", "class", "message"
    ]  # fmt: skip
    rows = [_missing_row(gap, columns, origins) for gap in absent]
    for cell, why in waiting:
        rows.append({**_place(cell, origins), "run": "", "kind": "cell", **why})
    csv_files.write(path, columns, rows)


def _waiting(cells: Sequence[Cell], tried: Collection[str]) -> Iterator[tuple[Cell, Why]]:
    for cell, n in partly_done(cells, tried):
        message = f"{n} of {len(cell.trials)} trials finished; none is chosen before all are"
        yield cell, {"state": "incomplete", "class": "", "message": message}


def _without_hope(cells: Sequence[Cell], lost: Collection[str]) -> Iterator[tuple[Cell, Why]]:
    for cell in all_diverged(cells, lost):
        message = f"all {len(cell.trials)} trials diverged; tune over smaller learning rates"
        yield cell, {"state": "failed", "class": DIVERGED, "message": message}


def _missing_row(
    gap: MissingRun, columns: Sequence[str], origins: Mapping[Encoder, EncoderInfo]
) -> dict[str, object]:
    settings = {key: value for key, value in gap.run.columns.items() if key in columns}
    why = {"state": gap.state, "class": gap.error, "message": gap.message}
    return {**settings, **_identity(gap.run, origins), **why}
