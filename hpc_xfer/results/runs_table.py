"""runs.csv: one row per finished run, with recipe, metrics, seconds and host."""

import json
from collections.abc import Iterable, Iterator, Mapping

from hpc_xfer.results import csv_files
from hpc_xfer.results.csv_files import Table
from hpc_xfer.results.encoder_info import Encoders, encoder_key
from hpc_xfer.results.missing_runs import Record
from hpc_xfer.results.selection import Choice
from hpc_xfer.study.labels import label_columns
from hpc_xfer.study.plan import Plan, Run

IDENTITY = ("run", "kind", "label", "parent")
_FIRST = (
    "val_top1", "test_top1", "test_top5", "test_per_class", "n_test", "n_val", "train_images",
    "train_loss", "final_loss", "samples_per_second", "skipped_samples", "steps",
)  # metrics that all runs of a kind have; other metrics follow, sorted  # fmt: skip

_PATH_KEYS = ("key", "values", "converged")  # of a path; all else in it is measured


def runs_table(
    plan: Plan, encoders: Encoders, records: Mapping[str, Record], chosen: Mapping[str, Choice]
) -> Table:
    """Make runs.csv; a metric that has the name of a setting becomes `measured_<name>`.

    Args:
        plan: all runs of the study.
        encoders: what `encoders_of` says of the plan.
        records: run id -> record, of the finished runs.
        chosen: run id -> choice, of the runs that a cell chose; a path shows its chosen value.
    """
    settings = label_columns(run.columns for run in plan.runs)
    names = {
        metric: f"measured_{metric}" if metric in settings else metric
        for metric in _measured(records.values())
    }
    path_keys = [key for key in plan.tuned if key in ("l2", "k")]
    settings += [key for key in path_keys if key not in settings]
    columns = [*IDENTITY, *settings, *names.values(), *_provenance({})]

    def rows() -> Iterator[dict[str, object]]:  # one at a time: 40,000 with all settings are large
        for run_id, record in records.items():
            run = plan.by_id[run_id]
            measured = record["metrics"] | _on_path(record, chosen.get(run_id))
            values = dict(chosen[run_id].value) if run_id in chosen else {}
            metrics = {names[metric]: _text(value) for metric, value in measured.items()}
            at = {key: value for key, value in values.items() if key in path_keys}
            row = {**run_identity(run, encoders), **run.columns, **at}
            yield {**row, **metrics, **_provenance(record)}

    return columns, rows()


def run_identity(run: Run, encoders: Encoders) -> dict[str, object]:
    """Give the columns of IDENTITY."""
    parent = run.parents[0].id if run.parents else ""
    label = encoders[encoder_key(run)].label
    return dict(zip(IDENTITY, (run.id, run.kind, label, parent), strict=True))


def _on_path(record: Record, choice: Choice | None) -> dict[str, object]:
    """The metrics of a path at the value that was chosen; empty before the choice."""
    if "path" not in record or choice is None:
        return {}
    return {name: choice.metric(name) for name in record["path"] if name not in _PATH_KEYS}


def _measured(records: Iterable[Record]) -> list[str]:
    found = {metric for record in records for metric in record["metrics"]}
    found |= {name for record in records for name in record.get("path", ())} - set(_PATH_KEYS)
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
