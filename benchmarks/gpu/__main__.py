"""Measure what a GPU reaches: steps beside open_clip's, waits, loading, checkpoints, fine-tunings.

    python -m benchmarks.gpu --out gpu.md               # eight minutes on one card
    python -m benchmarks.gpu --only "clip RN50" --minutes 2
    python -m benchmarks.gpu --tiny                     # each row in small, on a CPU too

`make gpu` runs the tests marked `gpu` first. A row that fails prints its error in the table, the
others go on, and the exit code is 1. Rows that do not fit into the time are named as not measured.
"""

import contextlib
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import card, gpu_tests, report
from benchmarks.gpu.child import Child
from benchmarks.gpu.report import Measured
from benchmarks.gpu.rows import Measurement, measurements
from benchmarks.gpu.setting import Setting
from benchmarks.harness import table

_LONGEST = 3.0  # times the expected seconds; then the row is stopped
_TESTS = 0.4  # of the time at most
_FIGURES = {field.name for field in fields(Measured)} - {"what", "failed"}


def main() -> int:
    args = _parse()
    if not args.tiny and not torch.cuda.is_available():
        table.progress(
            f"benchmarks.gpu needs an NVIDIA GPU, and torch {torch.__version__} sees none here; "
            "run it on a node with one, or with --tiny to try the script itself"
        )
        return 1
    rows = list(_measured(args))
    text = report.markdown(rows, card.describe(args.tiny))
    if args.out is not None:
        args.out.write_text(text, encoding="utf-8")
    if args.json:
        table.show([row.as_row() for row in rows], as_json=True)
    else:
        print(text, end="")
    return int(any(row.failed for row in rows))


def _measured(args: Namespace) -> Iterator[Measured]:
    """Measure row by row until the time is over."""
    end = time.monotonic() + 60 * args.minutes
    if args.tests:
        table.progress("tests marked gpu ...")
        yield gpu_tests.run(60 * args.minutes * _TESTS)
    with contextlib.closing(Child(Setting(tiny=args.tiny))) as child:
        for each in measurements():
            if args.only and args.only not in each.what:
                continue
            left = end - time.monotonic()
            if left < (0 if args.tiny else each.seconds):
                yield Measured(each.what, found="not measured: no time left")
                continue
            table.progress(f"{each.what} ...")
            limit = left if args.tiny else min(left, _LONGEST * each.seconds)
            yield _row(each, child.ask(each.measure, each.how, limit))


def _row(each: Measurement, answer: dict[str, Any]) -> Measured:
    if "error" in answer:
        return Measured(each.what, found=f"failed: {answer['error']}", failed=True)
    return Measured(each.what, **{name: answer[name] for name in _FIGURES & answer.keys()})


def _parse() -> Namespace:
    parser = table.arguments("gpu", __doc__ or "")
    parser.add_argument("--minutes", type=float, default=8, help="for all rows together (8)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table here too")
    parser.add_argument("--only", metavar="TEXT", help="only rows with this text in their name")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try the script itself")
    parser.add_argument("--tests", action="store_true", help="run the tests marked gpu first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
