"""Time the results of 4,000 fine-tunings for TensorBoard: to write them, and to open them.

    python -m benchmarks.tensorboard

20 encoders, nine data sets, five numbers of shots, two modes; the tables are made up.
"""

import itertools
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import table
from benchmarks.harness.table import Row
from hpc_xfer.reporting.tensorboard.results_board import write_tensorboard
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir

_ENCODERS = [(f"source{i % 5}", 8000 * (1 + i // 5)) for i in range(20)]
_DATASETS = [f"set{i}" for i in range(9)]
_DRAWS = {"1": 3, "5": 3, "10": 2, "20": 2, "full": 1}  # of each number of shots: 3,960 cells
_STATUSES = [f"STATUS_{name}" for name in ("UNKNOWN", "SUCCESS", "FAILURE", "RUNNING")]

Line = dict[str, object]


def made_up(folder: Path) -> StudyDir:
    """A study folder with its tables."""
    study = StudyDir(folder / "study")
    chance = random.Random(0)
    runs: list[Line] = []
    averages: list[Line] = []
    cells: list[Line] = []
    for i, (source, samples) in enumerate(_ENCODERS):
        encoder: Line = {"label": f"clip {source} {samples}", "method": "clip", "arch": "RN50",
                         "source": source, "samples": samples, "samples_seen": samples,
                         "snapshot": ""}  # fmt: skip
        runs.append({**encoder, "run": f"{i:012x}", "kind": "pretrain", "pretrain_lr": 0.001,
                     "final_loss": chance.random(), "samples_per_second": 800})  # fmt: skip
        for mode, shots in itertools.product(("ft", "lp"), _DRAWS):
            for dataset in ("mean", *_DATASETS):
                here = {**encoder, "dataset": dataset, "shots": shots, "mode": mode}
                averages.append({**here, "mean": chance.random(), "std": "", "n": 3, "ci95_low": "",
                                 "ci95_high": "", "over": "draws", "missing": 0,
                                 "datasets": 9 if dataset == "mean" else 1})  # fmt: skip
                cells += [
                    {**here, "draw": draw, "lr": 0.001, "lr_edge": "", "val_top1": chance.random(),
                     "train_images": 5000, "classes": 10}
                    for draw in range(_DRAWS[shots] if dataset != "mean" else 0)
                ]  # fmt: skip
    runs += [{"run": f"{i:012x}", "kind": "finetune"} for i in range(100, 100 + len(cells))]
    for name, rows in (("runs", runs), ("averages", averages), ("cells", cells)):
        csv_files.write(study.summary / f"{name}.csv", [*rows[0]], rows)
    return study


def seconds_to_open(folder: Path, runs: int) -> float:
    """Start TensorBoard; stop the clock when it has all runs and has answered for HParams."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begun = time.perf_counter()
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while len(_answer(port, "runs") or ()) < runs:
            time.sleep(0.05)  # the server tells nobody when it has read its files
        body = {"allowedStatuses": _STATUSES, "startIndex": 0, "sliceSize": runs}
        assert _answer(port, "plugin/hparams/session_groups", body)
        return time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait()


def _answer(port: int, name: str, body: Line | None = None) -> list[object] | None:
    """Answer of the server; None while there is none."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/data/{name}", data, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return list(json.loads(answer.read()))
    except OSError:
        return None


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        study = made_up(Path(folder))
        begun = time.process_time()
        results = write_tensorboard(study, [])
        spent = time.process_time() - begun
        yield Row("TensorBoard data of 4,000 fine-tunings, CPU", "s", spent, most=5)
        runs = len([*results.rglob("events*")])
        opened = seconds_to_open(study.tensorboard, runs)
        yield Row(f"TensorBoard opens them, {runs} runs", "s", opened, most=10)


def main() -> None:
    args = table.arguments("tensorboard", __doc__).parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
