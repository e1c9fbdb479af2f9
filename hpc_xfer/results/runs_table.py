"""runs.csv: one row per finished run, with recipe, metrics, seconds and host."""

import json
from collections.abc import Iterable, Iterator, Mapping

from hpc_xfer.results import csv_files
from hpc_xfer.results.csv_files import Table
from hpc_xfer.results.encoder_info import Encoders, encoder_key
from hpc_xfer.results.missing_runs import Record
from hpc_xfer.study.labels import label_columns
from hpc_xfer.study.plan import Plan, Run

_FIRST = (
    "val_top1", "test_top1", "test_top5", "test_per_class", "n_test", "n_val", "train_images",
    "train_loss", "final_loss", "samples_per_second", "skipped_samples", "steps",
)  # metrics that all runs of a kind have; other metrics follow, sorted  # fmt: skip


def runs_table(plan: Plan, encoders: Encoders, records: Mapping[str, Record]) -> Table:
    """Make runs.csv; a metric that has the name of a setting becomes `measured_<name>`."""
    settings = label_columns(run.columns for run in plan.runs)
    names = {
        metric: f"measured_{metric}" if metric in settings else metric
        for metric in _measured(records.values())
    }
    columns = [*run_identity(plan.runs[0], encoders), *settings, *names.values(), *_provenance({})]

    def rows() -> Iterator[dict[str, object]]:  # one at a time: 40,000 with all settings are large
        for run_id, record in records.items():
            run = plan.by_id[run_id]
            metrics = {names[metric]: _text(value) for metric, value in record["metrics"].items()}
            yield {**run_identity(run, encoders), **run.columns, **metrics, **_provenance(record)}

    return columns, rows()


def run_identity(run: Run, encoders: Encoders) -> dict[str, object]:
    """Give the columns that identify a run."""
    parent = run.parents[0].id if run.parents else ""
    label = encoders[encoder_key(run)].label
    return {"run": run.id, "kind": run.kind, "label": label, "parent": parent}


def _measured(records: Iterable[Record]) -> list[str]:
    found = {metric for record in records for metric in record["metrics"]}
    return [*(metric for metric in _FIRST if metric in found), *sorted(found - set(_FIRST))]


def _text(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return csv_files.fixed(value) if isinstance(value, float) else value


def _provenance(record: Record) -> dict[str, object]:
    """Duration, machine and code version; empty where the record does not say."""
    seconds = record.get("timing", {}).get("seconds")
    source = record.get("provenance", {})
    known = {name: source.get(name) for name in ("host", "gpu", "commit", "dirty", "restarts")}
    torch = source.get("packages", {}).get("torch")
    return {"seconds": csv_files.fixed(seconds, 3), **known, "torch": torch}
