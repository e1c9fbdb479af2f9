"""Launch 40,000 fine-tunings of 24 parents on a real Slurm with drained nodes, so that all queue.

    python -m benchmarks.launch_scale
    python -m benchmarks.launch_scale --growth       # a whole study at 4,000 and 40,000 runs

Measures what a user waits for (submit, status, launch again) and the memory of the launcher. One
peer is submitit's own map_array with as many elements; it writes one pickle each, ours none. The
other is this repository before jobs were known by number, name and user, and absence was doubted:
the same commands, in turns, each in a store of its own.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import before, table
from benchmarks.harness.table import Row
from benchmarks.launch_scale import growth
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.cluster import Cluster

_ROOT = Path(__file__).parent.parent.parent
_GRID = """\
name: scale
pretrain:
  - {method: scratch, arch: archs/glyph.json, seed: [%s]}
finetune:
  datasets: [digits, mnist5k]
  shots: [1, 5, 10, 20, full]
  draws: 42
  mode: [ft, lp]
  tune: {lr: [1e-3, 3e-3]}
resources:
  finetune: {minutes: {1: 2, 5: 5, 10: 10, 20: 15, full: 30}, target_minutes: 30}
"""
_PEER = "submitit's map_array"
_COMMIT = "8bc96a5"  # before a second look at the queue, and snapshots of the code
_ROUNDS = 3
_AT_MOST = 1.2  # times what the same command took then


def rows() -> list[Row]:
    cluster = Cluster.start(nodes=1, settings={"MaxJobCount": "60000"})
    try:
        cluster.drain()
        with tempfile.TemporaryDirectory() as folder:
            return list(_measure(Path(folder), cluster))
    finally:
        cluster.stop()


def _measure(folder: Path, cluster: Cluster) -> Iterator[Row]:
    grid = folder / "scale.yaml"
    shutil.copytree(_ROOT / "grids/archs", folder / "archs")
    grid.write_text(_GRID % ", ".join(map(str, range(24))))
    site = folder / "site.yaml"
    site.write_text("slurm: {gpu_option: none, relay: {memory: null}}\n")
    places = [str(grid), "--site", str(site), "--store", str(folder / "store"), "--json"]
    yield from _against_before(folder, cluster, grid, site)
    submit, told = _timed(cluster, "launch", *places)
    status, seen = _timed(cluster, "status", *places)
    again, second = _timed(cluster, "launch", *places)
    files = sum(1 for path in (folder / "store").rglob("*") if path.is_file())
    cluster.run("scancel", "-u", current_user())
    _write_records(grid, Store(folder / "store"))
    report, _ = _timed(cluster, "launch", *places)  # in a study that ran, the relay has done it
    done, _ = _timed(cluster, "launch", *places)
    seen_done, _ = _timed(cluster, "status", *places)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    assert (
        second["submitted"]["runs"] == 0 and seen["counts"]["pending"] == told["submitted"]["runs"]
    )
    elements = told["submitted"]["elements"]
    by_peer, files_by_peer = _map_array(folder, cluster, elements)
    table.progress(
        f"{told['submitted']['runs']:,} runs, {elements:,} elements, "
        f"{told['submitted']['jobs']} calls of sbatch"
    )
    yield Row(
        f"submitting {elements:,} elements", "s", submit, by_peer, _PEER, less_is_better=True,
        most=60,
    )  # fmt: skip
    yield Row("files that it leaves", "files", files, files_by_peer, _PEER, less_is_better=True)
    yield Row("status of them", "s", status, most=5)
    yield Row("launching again", "s", again, most=10)
    yield Row("status when all are done", "s", seen_done, most=5)
    yield Row("collecting and reporting them", "s", report)
    yield Row("launching again when all are done", "s", done, most=10)
    yield Row("memory of the launcher", "MB", memory, most=500)


def _against_before(folder: Path, cluster: Cluster, grid: Path, site: Path) -> Iterator[Row]:
    """Measure launch, status and a second launch in turns with the commit before."""
    old = before.tree(_COMMIT)
    names = ("launch", "status", "launch")
    taken: dict[Path, list[list[float]]] = {_ROOT: [], old: []}
    for number in range(_ROUNDS):
        for tree, rounds in taken.items():
            store = folder / f"store-{number}-{tree.name}"
            places = [str(grid), "--site", str(site), "--store", str(store), "--json"]
            rounds.append([_timed(cluster, name, *places, tree=tree)[0] for name in names])
            cluster.run("scancel", "-u", current_user())
            cluster.daemons.wait_until("the queue to be empty", lambda: not cluster.live())
    for i, what in enumerate(("submitting", "status", "launching again")):
        now, then = (min(each[i] for each in taken[tree]) for tree in (_ROOT, old))
        yield Row(
            f"{what}, best of {_ROUNDS}", "s", now, then, _COMMIT, less_is_better=True,
            most=_AT_MOST * then,
        )  # fmt: skip


def _write_records(grid: Path, store: Store) -> None:
    """Write records as if all had run; their numbers are made up."""
    for i, run in enumerate(make_plan(load_study(grid)).runs):
        folder = store.run(run.id)
        folder.path.mkdir(parents=True)
        metrics = {"val_top1": 0.5 + i % 7 / 100, "test_top1": 0.5 + i % 11 / 100}
        metrics |= {"test_top5": 0.9, "test_per_class": 0.5, "n_test": 359, "train_images": 10}
        if run.kind == "pretrain":
            folder.encoder.write_bytes(b"")
            metrics = {"samples_seen": 0, "skipped_samples": 0}
        record = {
            "schema": 1, "run": run.id, "kind": run.kind, "recipe": run.spec, "metrics": metrics,
            "parents": [parent.id for parent in run.parents],
            "timing": {"seconds": 60.0, "train_seconds": 50.0},
            "provenance": {"host": "n1", "packages": {"torch": "2"}, "data": {"dataset": "0" * 64}},
        }  # fmt: skip
        folder.record.write_text(json.dumps(record, indent=2))


def _timed(
    cluster: Cluster, module: str, *arguments: str, tree: Path = _ROOT
) -> tuple[float, dict[str, dict[str, int]]]:
    command = [sys.executable, "-m", f"hpc_xfer.{module}", *arguments]
    begun = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tree,
        env={**before.environment(tree), **cluster.env},
    )
    seconds = time.perf_counter() - begun
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, int]] = json.loads(done.stdout)
    return seconds, told


def _map_array(folder: Path, cluster: Cluster, elements: int) -> tuple[float, int]:
    """Seconds and files, in arrays of 1,000."""
    import submitit

    os.environ.update(cluster.env)
    executor = submitit.SlurmExecutor(folder=folder / "peer")
    executor.update_parameters(time=30)
    begun = time.perf_counter()
    for start in range(0, elements, 1000):
        executor.map_array(abs, range(start, min(start + 1000, elements)))
    seconds = time.perf_counter() - begun
    return seconds, sum(1 for _ in (folder / "peer").iterdir())


def main() -> None:
    parser = table.arguments("launch_scale", __doc__)
    parser.add_argument("--growth", action="store_true", help="only the steps of growth.py")
    parser.add_argument(
        "--runs", type=int, nargs="+", default=growth.SIZES, help="sizes of the studies of --growth"
    )
    args = parser.parse_args()
    if not shutil.which("slurmctld"):
        sys.exit("there is no Slurm here; install it with `make slurm`")
    own = [] if args.growth else rows()
    table.show([*own, *growth.rows(args.runs)], args.json)


if __name__ == "__main__":
    main()
