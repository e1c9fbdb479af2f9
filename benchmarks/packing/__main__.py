"""Count fine-tunings per minute: one worker for many runs, beside one process per run.

    python -m benchmarks.packing

Few-shot runs last a second; a process that imports torch and open_clip for each of them spends its
time on that. Both ways go through the same worker and the same store layout, one after the other.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import table
from benchmarks.harness.table import Row
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Plan, RunKind, make_plan
from hpc_xfer.study.study_file import load_study

_ROOT = Path(__file__).parent.parent.parent
_GRID = f"""
name: packing
pretrain:
  - {{method: scratch, arch: {_ROOT}/grids/archs/glyph.json}}
finetune:
  datasets: [digits]
  shots: [1]
  draws: 8
  mode: [ft]
  batch: 32
  epochs: 30
  randaugment: false
  lr: 1e-3
"""


def prepare(folder: Path) -> tuple[Plan, Store]:
    """A store with an initialized parent and all packs written."""
    grid = folder / "packing.yaml"
    grid.write_text(_GRID)
    plan, store = make_plan(load_study(grid)), Store(folder / "store")
    store.open()
    for pack in [_pack(plan, "pretrain"), _pack(plan, "finetune"), *_singles(plan)]:
        resources = getattr(plan.resources, pack.kind)
        store.write_manifest("packing", JobArray((pack,)), resources.model_dump(mode="json"))
    execute(store, _pack(plan, "pretrain"))
    return plan, store


def execute(store: Store, pack: Pack) -> None:
    command = [sys.executable, "-m", "hpc_xfer.worker", "--store", str(store.root)]
    command += ["--study", "packing", "--pack", f"{JobArray((pack,)).id}/0"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=_ROOT)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(event["event"] == "done" for event in events) == len(pack.runs), done.stderr


def _pack(plan: Plan, kind: RunKind) -> Pack:
    return Pack(plan.of(kind), 1.0, 1)


def _singles(plan: Plan) -> list[Pack]:
    return [Pack((run,), 1.0, 1) for run in plan.of("finetune")]


def rows() -> list[Row]:
    rates: list[float] = []
    for packed in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            plan, store = prepare(Path(folder))
            packs = [_pack(plan, "finetune")] if packed else _singles(plan)
            begun = time.perf_counter()
            for pack in packs:
                execute(store, pack)
            rates.append(60 * len(plan.of("finetune")) / (time.perf_counter() - begun))
    ours, peer = rates
    what = "8 fine-tunings at 1 shot"
    return [Row(what, "runs/min", ours=ours, peer=peer, peer_is="a process per run")]


def main() -> None:
    args = table.arguments("packing", __doc__).parse_args()
    table.show(rows(), args.json)


if __name__ == "__main__":
    main()
