"""Run all benchmarks, or some, and print one table.

    python -m benchmarks                   # half an hour on two cores
    python -m benchmarks loader step

A benchmark that cannot run here (launch_scale needs Slurm, gpu a GPU) is named, the others go on,
and the exit code is 1. A missed target is a result, not an error.
"""

import ast
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import table
from benchmarks.harness.table import Row

_ROOT = Path(__file__).parent.parent
CASES = (
    "startup",
    "packing",
    "sharding",
    "launch_scale",
    "collect",
    "loader",
    "step",
    "loop_overhead",
    "checkpoint",
    "resume",
    "finetuning",
    "finetuning_images",
    "gpu",
    "coverage",
    "tensorboard",
    "trust",
)


def main() -> int:
    parser = table.arguments("", f"{__doc__}\nThe benchmarks:\n{_listed()}")
    parser.prog = "python -m benchmarks"
    parser.add_argument("names", nargs="*", metavar="NAME", help="those to run (all)")
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(CASES)):
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    rows: list[Row] = []
    failed = False
    for name in args.names or CASES:
        table.progress(f"{name} ...")
        try:
            rows += measured(name)
        except RuntimeError as error:
            failed = True
            table.progress(f"{name}: {error}")
    table.show(rows, args.json)
    return int(failed)


def measured(name: str) -> list[Row]:
    """Run a benchmark in a process of its own and read its rows.

    Raises:
        RuntimeError: it failed; its own message is on standard error.
    """
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
    if done.returncode:
        raise RuntimeError(f"not measured; `python {' '.join(command[1:])}` ended with an error")
    return table.read(done.stdout)


def _listed() -> str:
    """Name and first line of each benchmark; read, not imported, as most import torch."""
    lines = []
    for name in CASES:
        text = (_ROOT / "benchmarks" / name / "__main__.py").read_text(encoding="utf-8")
        lines.append(f"    {name:18} {(ast.get_docstring(ast.parse(text)) or '').splitlines()[0]}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
