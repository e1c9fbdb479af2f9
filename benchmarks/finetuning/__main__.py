"""Fit linear probes: ours beside the commit before, scikit-learn and CLIP_benchmark.

    python -m benchmarks.finetuning

Ten classes of digits in 64 dimensions, 1 to 20 shots, ten draws, one thread, CPU seconds. A cell is
a draw with all values of its hyperparameter, a trial is one value of it; ours takes 45 penalties in
a cell, before took a training for each learning rate. Ours and scikit-learn's are converged: the
gradient of ours is in its record, scikit-learn gets a tolerance (1e-10) at which its accuracies
stay (and its default, 1e-4, at which they do not). All sides classify the validation and the test
images of each value; ours computes six metrics of them, the others one to three.
"""

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.finetuning import cells
from benchmarks.finetuning.ours import PENALTIES
from benchmarks.harness import before, peers, table
from benchmarks.harness.interleave import Side
from benchmarks.harness.table import Row

_ROOT = Path(__file__).parent.parent.parent
_SHOTS = (1, 5, 20)
_LRS = [1e-4, 1e-3, 1e-2]
_LAX, _TIGHT = 1e-4, 1e-10  # tolerances of scikit-learn
_PEER_DRAWS = 5
_PEER_TRIALS = 19  # weight decays that CLIP_benchmark tries for a cell: 7, then 3 four times


def rows(args: Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cells.npz"
        cells.write(path, _ROOT / "grids/archs/glyph.json")
        with Side(sys.executable, "benchmarks.finetuning.ours") as ours:
            asked = {"path": str(path), "draws": args.draws}
            yield from _before(ours, asked)
            yield from _scikit_learn(ours, asked)
            yield from _clip_benchmark(ours, asked | {"draws": _PEER_DRAWS})


def _before(ours: Side, asked: dict[str, Any]) -> Iterator[Row]:
    table.progress("finetuning: the commit before")
    try:
        before.tree()
    except RuntimeError as error:
        table.progress(f"finetuning: left out: {error}")
        return
    totals = {"logistic": 0.0, "ridge": 0.0, "before": 0.0}
    with Side(sys.executable, "benchmarks.finetuning.before") as earlier:
        for shots in _SHOTS:
            for solver in ("logistic", "ridge"):
                told = ours.ask(measure="probe", shots=shots, solver=solver, **asked)
                totals[solver] += told["seconds"]
            told_before = earlier.ask(measure="probe", shots=shots, lrs=_LRS, **asked)
            totals["before"] += told_before["seconds"]
    number = len(_SHOTS) * asked["draws"]
    values = len(PENALTIES)
    rate = number * len(_LRS) / totals["before"]
    against = {"peer": rate, "peer_is": "AdamW, the commit before", "unit": "trials/s"}
    what = f"linear probes, {_SHOTS[0]} to {_SHOTS[-1]} shots"
    yield Row(f"{what}, converged", ours=number * values / totals["logistic"], least=10, **against)
    yield Row(f"{what}, ridge", ours=number * values / totals["ridge"], least=50, **against)
    yield Row(
        f"a cell with its whole path of {values}",
        "ms",
        ours=1e3 * totals["logistic"] / number,
        peer=1e3 * totals["before"] / number,
        peer_is=f"a cell of {len(_LRS)} values, the commit before",
        less_is_better=True,
        least=1,
    )


def _scikit_learn(ours: Side, asked: dict[str, Any]) -> Iterator[Row]:
    with Side(sys.executable, "benchmarks.finetuning.scikit_learn") as theirs:
        for shots in _SHOTS:
            table.progress(f"finetuning: scikit-learn, {shots} shots")
            mine = ours.ask(measure="probe", shots=shots, solver="logistic", **asked)
            fits, what = asked["draws"] * mine["values"], f"linear probe, {shots} shots"
            request = {"shots": shots, "penalties": PENALTIES, **asked}
            gpu = ours.ask(measure="on_gpu", shots=shots, **asked)
            told: dict[str, Any] = {"unit": "ms/value", "less_is_better": True}
            for tolerance in (_TIGHT, _LAX):
                found = theirs.ask(measure="probe", tolerance=tolerance, **request)
                name = f"scikit-learn, tolerance {tolerance:g}"
                told |= {"peer": 1e3 * found["seconds"] / fits, "peer_is": name}
                yield Row(what, ours=1e3 * mine["seconds"] / fits, least=1, **told)
                if tolerance == _TIGHT:
                    apart = _apart(mine["top1"], found["top1"])
                    if gpu is not None:
                        label = f"{what}, {asked['draws']} draws on a GPU"
                        yield Row(label, ours=1e3 * gpu / fits, least=20, **told)
            label = f"largest difference of accuracy to scikit-learn on the path, {shots} shots"
            yield Row(label, "points", ours=apart, most=0.3)


def _clip_benchmark(ours: Side, asked: dict[str, Any]) -> Iterator[Row]:
    with Side(peers.python(), "benchmarks.finetuning.peer") as peer:
        peer.ask(measure="probe", shots=1, **asked | {"draws": 1})  # warms caches
        for shots in _SHOTS:
            table.progress(f"finetuning: CLIP_benchmark, {shots} shots")
            mine = ours.ask(measure="probe", shots=shots, solver="logistic", **asked)
            theirs = peer.ask(measure="probe", shots=shots, **asked)
            told: dict[str, Any] = {"peer_is": "CLIP_benchmark's linear probe"}
            seconds, longer = mine["seconds"] / asked["draws"], theirs["seconds"] / asked["draws"]
            yield Row(
                f"linear probe, {shots} shots",
                "ms/value",
                ours=1e3 * seconds / mine["values"],
                peer=1e3 * longer / _PEER_TRIALS,
                less_is_better=True,
                least=10,
                **told,
            )
            yield Row(
                f"a cell with its choice ({mine['values']} values, {_PEER_TRIALS}), {shots} shots",
                "ms",
                ours=1e3 * seconds,
                peer=1e3 * longer,
                less_is_better=True,
                **told,
            )
            yield Row(
                f"test accuracy of the chosen value, {shots} shots",
                "%",
                ours=100 * mine["chosen"],
                peer=100 * theirs["top1"],
                least=1,
                **told,
            )


def _apart(one: list[float], other: list[float]) -> float:
    return max(100 * abs(a - b) for a, b in zip(one, other, strict=True))


def main() -> None:
    parser = table.arguments("finetuning", __doc__)
    parser.add_argument("--draws", type=int, default=10, help="of each number of shots (10)")
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # of the sides, which are started later
    table.show(rows(args), args.json)


if __name__ == "__main__":
    main()
