"""Pre-train CLIP and count samples per second: ours beside open_clip's trainer.

    python -m benchmarks.step                                            # small models, a CPU
    python -m benchmarks.step --models RN50 ViT-B-32 --batch 256 --steps 104 \\
        --precision amp_bf16 --workers 8                                 # a GPU

Both read shards, decode and log to TensorBoard. Model, batch, shards, precision,
worker processes, threads and the settings of AdamW are the same, and the number of weights is
compared. open_clip's trainer runs in its own environment, with the webdataset that it needs.
"""

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import peers, photo_shards, table
from benchmarks.harness.interleave import Side, in_turn
from benchmarks.harness.table import Row
from hpc_xfer.system.machine import cores

_TINY = sorted(str(path) for path in (Path(__file__).parent / "archs").glob("*.json"))


def rows(args: Namespace) -> Iterator[Row]:
    asked = {name: getattr(args, name) for name in ("batch", "steps", "precision", "workers")}
    asked |= {
        "folder": str(photo_shards.shards("small")),
        "threads": args.threads,
        "measure": "train",
    }
    with (
        Side(sys.executable, "benchmarks.step.ours") as ours,
        Side(peers.python(), "benchmarks.step.peer") as peer,
    ):
        for model in args.models:
            table.progress(f"step: {Path(model).stem}")
            yield _row(model, asked, args.rounds, ours, peer)


def _row(model: str, asked: dict[str, object], rounds: int, ours: Side, peer: Side) -> Row:
    weights = []

    def train(side: Side) -> float:
        told = side.ask(model=model, **asked)
        weights.append(told["weights"])
        return float(told["rate"])

    mine, theirs = in_turn(rounds, lambda: train(ours), lambda: train(peer))
    if len(set(weights)) > 1:
        raise RuntimeError(f"{model}: the sides train models of different size: {weights}")
    what = f"CLIP training, {Path(model).stem}, batch {asked['batch']}, {asked['precision']}"
    return Row(what, "samples/s", ours=mine, peer=theirs, peer_is="open_clip's trainer")


def main() -> None:
    parser = table.arguments("step", __doc__)
    parser.add_argument(
        "--models",
        nargs="+",
        default=_TINY,
        metavar="MODEL",
        help="open_clip's names or JSON files",
    )
    parser.add_argument("--batch", type=int, default=64, help="samples (64)")
    parser.add_argument("--steps", type=int, default=20, help="of each training (20)")
    parser.add_argument("--precision", choices=("fp32", "amp_bf16"), default="fp32")
    parser.add_argument("--workers", type=int, default=1, help="loading processes (1)")
    parser.add_argument(
        "--threads", type=int, default=max(1, cores() - 1), help="of the training (all cores but 1)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many (3)")
    args = parser.parse_args()
    table.show(rows(args), args.json)


if __name__ == "__main__":
    main()
