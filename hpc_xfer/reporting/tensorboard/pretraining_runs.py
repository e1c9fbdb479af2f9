"""Pre-trainings as rows of HParams: settings, final loss and speed."""

import math
from collections.abc import Iterable, Iterator

from hpc_xfer.reporting.tensorboard.board_run import BoardRun, Point, file_names, settings_of
from hpc_xfer.results.encoder_info import ENCODER_COLUMNS, SETTING
from hpc_xfer.results.tables.csv_files import Row
from hpc_xfer.study.labels import with_seeds

_SHOWN = (*ENCODER_COLUMNS, "curation")
_METRICS = ("final_loss", "samples_per_second")


def pretraining_runs(runs: Iterable[Row]) -> Iterator[BoardRun]:
    """Yield a row of HParams per finished pre-training; the steps are samples seen."""
    trained = [row for row in runs if row["kind"] == "pretrain"]
    labels = with_seeds(
        {row["run"]: row["label"] for row in trained},
        {row["run"]: row.get("pretrain_seed") or "" for row in trained},
    )
    names = file_names(f"{label} {run}" for run, label in labels.items())
    for row in trained:
        step = int(row.get("measured_samples_seen") or row.get("samples_seen") or 0)
        points = tuple(
            Point(f"training/{name.replace('_', ' ')}", step, float(row[name]))
            for name in _METRICS
            if row.get(name) and math.isfinite(float(row[name]))
        )
        if points:
            name = names[f"{labels[row['run']]} {row['run']}"]
            own = {n: row[n] for n in row if n in _SHOWN or n.startswith(SETTING)}
            yield BoardRun(
                f"pretraining/{name}", points, {"kind": "pre-training", **settings_of(own)}
            )
