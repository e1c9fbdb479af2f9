"""What an interruption in the middle of an epoch costs: time, samples, and bits of the result.

    python -m benchmarks.resume
    python -m benchmarks.resume --rounds 5 --json

First the way back to the data: seconds from a start to the batch of a step three quarters through
an epoch. Ours knows where each sample lies; a stream such as open_clip's has to be gone through, at
the least without decoding (the limit). Then a small pre-training, killed with -9 in the middle and
begun again, beside the same one undisturbed.
"""

import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import jpegs, peers, table
from benchmarks.sides import Side, in_turn
from benchmarks.table import Row
from hpc_xfer.batches import Batch
from hpc_xfer.plan import Pack, Run
from hpc_xfer.recipes import Architecture, Supervised
from hpc_xfer.shard_index import ShardIndex
from hpc_xfer.store import RunDir, Store
from hpc_xfer.study import PretrainResources

_ROOT = Path(__file__).parent.parent
_ARCH = _ROOT / "grids" / "archs" / "glyph.json"
_SIZE = 224
_BATCH = 32  # of the small pre-training
_STEPS = 96


def rows(args: Namespace) -> Iterator[Row]:
    yield _way_back(args)
    yield from _killed(args)


def _way_back(args: Namespace) -> Row:
    folder = jpegs.shards("long")
    samples = ShardIndex.load(folder).samples
    step = 3 * samples // (4 * args.batch)
    asked = {"folder": str(folder), "size": _SIZE, "batch": args.batch, "step": step}
    with (
        Side(sys.executable, "benchmarks.loader_ours") as ours,
        Side(peers.python(), "benchmarks.loader_peers") as peer,
    ):
        table.progress(f"resume: to step {step} of {samples // args.batch}")
        mine, theirs, read = in_turn(
            args.rounds,
            lambda: ours.ask(measure="resuming", **asked),
            lambda: peer.ask(measure="clip_resuming", **asked),
            lambda: peer.ask(measure="reading", folder=str(folder), samples=step * args.batch),
        )
    return Row(
        f"from a start to the batch after {step * args.batch:,} samples, warm files", "s",
        ours=mine, peer=theirs, peer_is="open_clip, through all", limit=read,
        limit_is="reading the tar files alone", less_is_better=True,
    )  # fmt: skip


def _killed(args: Namespace) -> Iterator[Row]:
    run = _run()
    with tempfile.TemporaryDirectory() as name:
        table.progress("resume: a pre-training, undisturbed and killed")
        whole, parts = _store(Path(name) / "whole", run), _store(Path(name) / "parts", run)
        _start(whole, run).communicate()
        again = _kill_in_the_middle(parts, run)
        _start(parts, run).communicate()
        apart = _apart(whole.run(run.id), parts.run(run.id))
    yield Row(
        "samples trained again after kill -9, a checkpoint every 0.1 s", "samples", ours=again
    )
    yield Row("largest difference of a weight to the undisturbed run", "", ours=apart, most=0)


def _run() -> Run:
    index = ShardIndex.load(jpegs.shards("long"))
    arch = Architecture(name="glyph", **json.loads(_ARCH.read_text()))
    recipe = Supervised(
        arch=arch, source="photos", samples=index.samples, samples_seen=_STEPS * _BATCH,
        batch=_BATCH,
    )  # fmt: skip
    return Run("pretrain", recipe)


def _store(folder: Path, run: Run) -> Store:
    store = Store(folder)
    store.open()
    resources = PretrainResources(workers=1, log_steps=1, checkpoint_minutes=0.1 / 60)
    store.write_batch("resume", _packed(run), resources.model_dump(mode="json"))
    sources = {"sources": {"photos": str(jpegs.shards("long"))}}
    (folder / "site.yaml").write_text(json.dumps(sources))
    return store


def _packed(run: Run) -> Batch:
    return Batch((Pack((run,), 1, 1),))


def _start(store: Store, run: Run) -> "subprocess.Popen[bytes]":
    call = [sys.executable, "-m", "hpc_xfer.worker", "--store", str(store.root)]
    call += ["--study", "resume", "--site", str(store.root / "site.yaml")]
    call += ["--pack", f"{_packed(run).id}/0"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(call, cwd=_ROOT, stdout=quiet, stderr=quiet)


def _kill_in_the_middle(store: Store, run: Run) -> int:
    """Samples that were trained on and are not in the checkpoint."""
    folder, process = store.run(run.id), _start(store, run)
    while process.poll() is None and _step(folder) < _STEPS // 2:
        pass
    process.kill()
    process.wait()
    if _step(folder) >= _STEPS or not folder.checkpoint.exists():
        raise RuntimeError("the pre-training was over, or had no checkpoint, when it was killed")
    saved = torch.load(folder.checkpoint, weights_only=True)["step"]
    return (_step(folder) - int(saved)) * _BATCH


def _step(folder: RunDir) -> int:
    """The last that was logged; the heartbeat is seldom."""
    try:
        whole = folder.metrics.read_text().rpartition("\n")[0]
    except FileNotFoundError:
        return 0
    return json.loads(whole.splitlines()[-1])["step"] if whole else 0


def _apart(one: RunDir, two: RunDir) -> float:
    a, b = (torch.load(run.encoder, weights_only=True)["visual"] for run in (one, two))
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


def main() -> None:
    parser = table.arguments("resume", __doc__ or "")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (3)")
    parser.add_argument("--batch", type=int, default=64, help="images (64)")
    args = parser.parse_args()
    table.show(rows(args), args.json)


if __name__ == "__main__":
    main()
