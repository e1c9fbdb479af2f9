"""runs.csv: one row per finished run, with recipe, metrics, seconds and host.

train_loss     of a fine-tuning: mean over its last `loss_steps` steps, each before its update
final_loss     of a pre-training: the same
loss_steps     how many: 50, in runs of less than 500 steps a tenth; empty where an older version
               wrote a mean that faded out and still contained the first losses
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from hpc_xfer.results.encoder_info import Encoders, encoder_key
from hpc_xfer.results.parts.names import Names
from hpc_xfer.results.parts.record_files import Record
from hpc_xfer.results.selection import Choice
from hpc_xfer.results.tables import csv_files
from hpc_xfer.study.plan import Run

IDENTITY = ("run", "kind", "label", "parent")
_FIRST = (
    "val_top1", "test_top1", "test_top5", "test_per_class", "n_test", "n_val", "train_images",
    "train_loss", "final_loss", "loss_steps", "samples_per_second", "skipped_samples", "steps",
)  # metrics that all runs of a kind have; other metrics follow, sorted  # fmt: skip

_PATH_KEYS = ("key", "values", "converged")  # of a path; all else in it is measured


def runs_columns(names: Names, metrics: Collection[str]) -> list[str]:
    """List the columns of runs.csv, given the metrics that any run measured."""
    measured = [*(m for m in _FIRST if m in metrics), *sorted(set(metrics) - set(_FIRST))]
    return [
        *IDENTITY,
        *_settings(names),
        *(_column(metric, names) for metric in measured),
        *_provenance({}),
    ]


def run_rows(
    runs: Sequence[Run], names: Names, records: Mapping[str, Record], chosen: Mapping[str, Choice]
) -> Iterator[dict[str, object]]:
    """Make rows of runs.csv.

    Args:
        runs: the finished ones are shown.
        names: what tables call them.
        records: run id -> record, of the finished ones.
        chosen: run id -> choice, of the runs that a cell chose; a path shows its chosen value.
    """
    tuned = _tuned_on_paths(names)
    columns = {metric: _column(metric, names) for metric in measured_in(records.values())}
    for run in runs:
        record, choice = records.get(run.id), chosen.get(run.id)
        if record is None:
            continue
        measured = record["metrics"] | _on_path(record, choice)
        values = dict(choice.value) if choice is not None else {}
        at = {key: value for key, value in values.items() if key in tuned}
        yield {
            **run_identity(run, names.encoders),
            **run.columns,
            **at,
            **{
                columns[name]: csv_files.fixed(value) if value.__class__ is float else _text(value)
                for name, value in measured.items()
            },
            **_provenance(record),
        }


def measured_in(records: Iterable[Record]) -> set[str]:
    """Name all metrics of these records."""
    found = {metric for record in records for metric in record["metrics"]}
    return found | {name for r in records for name in r.get("path", ())} - set(_PATH_KEYS)


def _settings(names: Names) -> list[str]:
    return list(dict.fromkeys((*names.settings, *_tuned_on_paths(names))))


def _tuned_on_paths(names: Names) -> list[str]:
    return [key for key in names.tuned if key in ("l2", "k")]


def _column(metric: str, names: Names) -> str:
    """Name the column of a metric; one that has the name of a setting is `measured_<name>`."""
    return f"measured_{metric}" if metric in names.of_settings else metric


def run_identity(run: Run, encoders: Encoders) -> dict[str, object]:
    """Give the columns of IDENTITY."""
    parent = run.parents[0].id if run.parents else ""
    label = encoders[encoder_key(run)].label
    return {"run": run.id, "kind": run.kind, "label": label, "parent": parent}


def _on_path(record: Record, choice: Choice | None) -> dict[str, object]:
    """The metrics of a path at the value that was chosen; empty before the choice."""
    if "path" not in record or choice is None:
        return {}
    return {name: choice.metric(name) for name in record["path"] if name not in _PATH_KEYS}


def _text(value: object) -> object:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _provenance(record: Record) -> dict[str, object]:
    """Duration, machine and code version; empty where the record does not say."""
    seconds = record.get("timing", {}).get("seconds")
    source = record.get("provenance", {})
    known = {name: source.get(name) for name in ("host", "gpu", "commit", "dirty", "restarts")}
    torch = source.get("packages", {}).get("torch")
    return {"seconds": csv_files.fixed(seconds, 3), **known, "torch": torch}
