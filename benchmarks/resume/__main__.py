"""Measure what a restart in the middle of an epoch costs: time, samples, and the last bit.

    python -m benchmarks.resume
    python -m benchmarks.resume --rounds 5 --json

Time until the next batch is there: ours asks for it, open_clip's pipeline can only be led past all
that come before it in the epoch (its trainer does not even that, and begins the epoch again), and
the tars read without decoding are the least that any way through a stream takes. Theirs grows with
the epoch, ours does not. Starting Python and building the model are left out on both sides; what
is read lies in the page cache.

Then a pre-training of each is really killed (SIGKILL) in the middle of an epoch and called again.
"""

import json
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import peers, photo_shards, table
from benchmarks.harness.interleave import Side, in_turn
from benchmarks.harness.table import Row
from benchmarks.step.ours import prepared
from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.shard_index import ShardIndex

_ROOT = Path(__file__).parent.parent.parent
_SIZE = 224
_BATCH = 64
_MODEL = str(_ROOT / "benchmarks/step/archs/tiny-ViT.json")
_SMALL_BATCH, _STEPS, _EPOCHS = 16, 96, 3  # of the trainings that are killed
_KILLED_AT = 48  # the middle of the second epoch
_SAVED = 0.5  # seconds between our checkpoints, of an epoch that takes several


def rows(args: Namespace) -> Iterator[Row]:
    table.progress("resume: the next batch")
    yield from _next_batch(args.rounds)
    table.progress("resume: killed trainings")
    with tempfile.TemporaryDirectory() as name:
        yield from _killed(Path(name))


def _next_batch(rounds: int) -> Iterator[Row]:
    folder = photo_shards.shards("many")
    samples = ShardIndex.load(folder).samples
    request = {"folder": str(folder), "size": _SIZE, "batch": _BATCH}
    request["step"] = samples // 2 // _BATCH
    with (
        Side(sys.executable, "benchmarks.loader.ours") as ours,
        Side(peers.python(), "benchmarks.loader.peers") as peer,
    ):
        mine, theirs, passing = in_turn(
            rounds,
            lambda: ours.ask(measure="restart", **request),
            lambda: peer.ask(measure="clip restart", **request),
            lambda: peer.ask(measure="passing restart", **request),
        )
    what = f"next batch after a restart at sample {samples // 2:,} of an epoch"
    told: dict[str, Any] = {"unit": "s", "ours": mine, "less_is_better": True}
    yield Row(what, **told, peer=theirs, peer_is="open_clip's pipeline, led there")
    yield Row(what, **told, peer=passing, peer_is="webdataset, passing over undecoded")


def _killed(root: Path) -> Iterator[Row]:
    request = {
        "folder": str(photo_shards.shards("small")),
        "model": _MODEL,
        "batch": _SMALL_BATCH,
        "steps": _STEPS,
    }
    ours = ["-m", "benchmarks.resume.ours"], {**request, "seconds": _SAVED}
    peer = ["-m", "benchmarks.resume.peer"], {**request, "epochs": _EPOCHS}
    again = _again([sys.executable, *ours[0]], ours[1], root / "ours", killed=True)
    theirs = _again([str(peers.python()), *peer[0]], peer[1], root / "peer", killed=True)
    yield Row(
        f"trained again after a kill at sample {_KILLED_AT * _SMALL_BATCH:,}, "
        f"{_STEPS * _SMALL_BATCH // _EPOCHS:,} an epoch, checkpoint every {_SAVED:g} s",
        "samples",
        ours=again * _SMALL_BATCH,
        peer=theirs * _SMALL_BATCH,
        peer_is="open_clip's trainer",
        less_is_better=True,
    )
    _again([sys.executable, *ours[0]], ours[1], root / "undisturbed", killed=False)
    yield Row(
        "largest difference of a weight to the undisturbed training, on the CPU",
        "",
        ours=_difference(_encoder(root / "ours", request), _encoder(root / "undisturbed", request)),
        most=0,
    )


def _again(command: list[str], request: dict[str, Any], root: Path, killed: bool) -> int:
    """Steps that were made more than once until the training came to its end.

    Raises:
        RuntimeError: it failed, or ended before it could be killed.
    """
    root.mkdir()
    noted = root / "steps"
    noted.touch()
    command += [str(noted), json.dumps({"root": str(root), **request})]
    if killed:
        _kill_at(_KILLED_AT, noted, command, root / "log")
    with (root / "log").open("a") as log:
        done = subprocess.run(command, cwd=_ROOT, stdout=log, stderr=log)
    made = noted.stat().st_size
    if done.returncode or made < _STEPS:
        raise RuntimeError(f"after {made} steps: {(root / 'log').read_text()[-2000:]}")
    return made - _STEPS


def _kill_at(step: int, noted: Path, command: list[str], told: Path) -> None:
    with told.open("w") as log, subprocess.Popen(command, cwd=_ROOT, stdout=log, stderr=log) as run:
        while noted.stat().st_size < step and run.poll() is None:
            time.sleep(0.005)  # a file tells of steps, which has no event to wait on
        run.kill()
    if run.returncode >= 0:
        raise RuntimeError(f"ended by itself: {told.read_text()[-2000:]}")


def _encoder(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    run, _ = prepared(root, **request, precision="fp32", resources=PretrainResources())
    state: dict[str, Any] = torch.load(run.encoder, weights_only=True)
    return {f"{tower}.{k}": v for tower in ("visual", "text") for k, v in state[tower].items()}


def _difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    if one.keys() != other.keys():
        raise RuntimeError("the encoders have different weights")
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def main() -> None:
    parser = table.arguments("resume", __doc__)
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (3)")
    args = parser.parse_args()
    table.show(rows(args), args.json)


if __name__ == "__main__":
    main()
