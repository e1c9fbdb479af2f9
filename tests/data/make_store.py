"""Make a small store that holds every kind of file that a store can hold, to keep as test data.

    python -m tests.data.make_store /srv/example

Run six studies with the version of hpc_xfer that is imported: three on a Slurm of their own
(`make slurm` installs it), three on this machine. Then pack grids, site, input and store into
/srv/example.tar.xz. It takes two minutes. tests/data/README.md says which archives are kept.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

from PIL import Image

from tests.cluster import Cluster
from tests.waiting import wait_for

ROOT = Path(__file__).parent.parent.parent
# The smallest that learns. The tokenizer has 49,408 words, so a text tower of width 1 has 200 kB.
ARCH = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "layers": 1, "width": 8, "head_width": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 1, "heads": 1, "layers": 1},
}
SITE = """\
store: store
sources: {sans: sources/sans}
datasets: {shapes: datasets/shapes}
slurm: {gpu_option: none, gpus_per_node: 1, signal_seconds: 30, relay: {memory: null}}
"""
RESOURCES = """\
resources:
  pretrain: {minutes: 1, workers: 0, log_steps: 4, checkpoint_minutes: 0.01}
  finetune: {minutes: 1, target_minutes: 4, workers: 0, log_steps: 4}
"""
GRIDS = {
    "finished": """\
# Launched on Slurm; every run has a result.
name: finished
question: Does a store of an older version still count as finished?
pretrain:
  - {method: clip, arch: ../tiny.json, source: sans, samples: 12, epochs: 4, batch: 4}
  - method: supervised
    arch: ../tiny.json
    source: sans
    samples: 12
    epochs: 4
    batch: 4
    snapshots: [24]
finetune:
  - datasets: [digits]
    shots: [1]
    draws: 2
    mode: [ft]
    batch: 10
    epochs: 2
    randaugment: false
    tune: {lr: [1e-3, 1e-2]}
  - datasets: [digits]
    shots: [5]
    draws: 2
    mode: [lp]
    batch: 25
    epochs: 2
    tune: {lr: [1e-3, 1e-2]}
""",
    "broken": """\
# Launched on Slurm; a pre-training diverged, so its fine-tunings never ran. Of the fine-tunings of
# `scratch` one learning rate diverged too.
name: broken
question: Does a failure of an older version still count as one?
pretrain:
  - {method: clip, arch: ../tiny.json, source: sans, samples: 12, epochs: 4, batch: 4, lr: 1e38}
  - {method: scratch, arch: ../tiny.json}
finetune:
  datasets: [digits]
  shots: [1]
  draws: 2
  mode: [lp]
  batch: 10
  epochs: 2
  tune: {lr: [1e-2, 1e38]}
""",
    "local": """\
# Launched with --on local after the other two. Shares the pre-training `scratch` with `broken`.
name: local
pretrain:
  - method: simclr
    arch: ../tiny.json
    source: sans
    samples: 12
    epochs: 4
    batch: 4
    projection: [8, 8, 4]
  - {method: scratch, arch: ../tiny.json}
finetune:
  datasets: [shapes]
  shots: [2, full]
  draws: {2: 2, full: 1}
  mode: [lp]
  batch: 4
  epochs: 2
  lr: 1e-2
""",
    "broken_here": """\
# Launched with --on local; the pre-training diverged, so its fine-tunings never ran.
name: broken_here
pretrain:
  - method: simclr
    arch: ../tiny.json
    source: sans
    samples: 12
    epochs: 4
    batch: 4
    projection: [8, 8, 4]
    lr: 1e38
finetune: {datasets: [shapes], shots: [2], draws: 2, mode: [lp], batch: 4, epochs: 2, lr: 1e-2}
""",
    "cancelled": """\
# Launched on Slurm and cancelled before anything began.
name: cancelled
pretrain:
  - {method: scratch, arch: ../tiny.json, seed: 1}
finetune: {datasets: [shapes], shots: [2], draws: 2, mode: [lp], batch: 4, epochs: 2, lr: 1e-2}
""",
    "interrupted": """\
# Launched with --on local and interrupted: the pre-training has a checkpoint and no result.
name: interrupted
pretrain:
  - {method: supervised, arch: ../tiny.json, source: sans, samples: 12, epochs: 500, batch: 4}
""",
}
# What no command reads again, so that the archive stays small: curves for TensorBoard, copies of
# weights for other programs, the checkpoint before the last, pictures, pages that hold pictures.
DROPPED = (
    "runs/*/tb",
    "runs/*/*.safetensors",
    "runs/*/checkpoint.previous.pt",
    "studies/*/figures",
    *(f"studies/{name}/report.html" for name in ("finished", "broken", "local")),
)


class Example:
    """A folder with grids, a site file, their input, and the store that they fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write_inputs(self) -> None:
        (self.folder / "grids").mkdir(parents=True)
        (self.folder / "tiny.json").write_text(json.dumps(ARCH, indent=2) + "\n")
        (self.folder / "site.yaml").write_text(SITE)
        for name, text in GRIDS.items():
            self.grid(name).write_text(text + RESOURCES)
        _draw_shapes(self.folder / "datasets/shapes")
        drawn = ("--source", "sans", "--samples", "12", "--classes", "3", "--size", "8")
        _call("shards", "characters", str(self.folder / "sources"), *drawn)

    def run_on_slurm(self) -> None:
        cluster = Cluster.start()
        try:
            os.environ.update(cluster.env)
            for name in ("finished", "broken"):
                self.command("launch", name, "--on", "slurm")
                wait_for(lambda: not cluster.live(), 600)
            cluster.drain()
            self.command("launch", "cancelled", "--on", "slurm")
            self.command("cancel", "cancelled")
        finally:
            cluster.stop()
            for name in cluster.env:
                os.environ.pop(name, None)

    def run_here(self) -> None:
        self.command("launch", "local", "--on", "local", "--jobs", "1")
        self.command("launch", "broken_here", "--on", "local", "--jobs", "1", code=1)
        call = [*_python("launch"), *self.arguments("interrupted"), "--on", "local"]
        launched = subprocess.Popen(call, cwd=ROOT)
        wait_for(lambda: self.step_of("interrupted") >= 100)
        launched.send_signal(signal.SIGINT)
        launched.wait()

    def step_of(self, study: str) -> int:
        """Return the last step that the first pre-training of a study has told."""
        store = self.folder / "store"
        try:
            plan = json.loads((store / "studies" / study / "plan.json").read_text())
            beat = json.loads((store / "runs" / plan["runs"][0] / "progress.json").read_text())
        except FileNotFoundError:
            return 0
        return int(beat.get("step", 0))

    def drop_what_nobody_reads(self) -> None:
        for pattern in DROPPED:
            for path in (self.folder / "store").glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def pack(self) -> Path:
        """Write all of it into one archive, with the times of its files."""
        archive = self.folder.with_name(f"{self.folder.name}.tar.xz")
        with tarfile.open(archive, "w:xz", preset=9) as tar:
            for path in sorted(self.folder.rglob("*")):
                name = str(path.relative_to(self.folder))
                tar.add(path, name, recursive=False, filter=_without_owner)
        return archive

    def grid(self, name: str) -> Path:
        return self.folder / "grids" / f"{name}.yaml"

    def arguments(self, name: str) -> list[str]:
        return [str(self.grid(name)), "--site", str(self.folder / "site.yaml")]

    def command(self, module: str, name: str, *more: str, code: int = 0) -> None:
        _call(module, *self.arguments(name), *more, code=code)


def _without_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _draw_shapes(folder: Path) -> None:
    """Write two classes of 8x8 pixels: a bar that stands, a bar that lies."""
    for split, count in (("train", 4), ("test", 2)):
        for label, box in (("standing", (1, 6)), ("lying", (6, 1))):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                picture = Image.new("L", (8, 8))
                picture.paste(255 - 20 * i, (1, 1, 1 + box[0], 1 + box[1]))
                picture.save(folder / split / label / f"{i}.png")


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", f"hpc_xfer.{module}"]


def _call(module: str, *arguments: str, code: int = 0) -> None:
    done = subprocess.run([*_python(module), *arguments], cwd=ROOT)
    assert done.returncode == code, f"{module} {arguments} ended with {done.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.data.make_store",
        description="Make a small store that holds every kind of file, to keep as test data.",
    )
    parser.add_argument("folder", type=Path, help="new; its path will stand in the store")
    example = Example(parser.parse_args().folder.resolve())
    example.write_inputs()
    example.run_on_slurm()
    example.run_here()
    example.drop_what_nobody_reads()
    print(example.pack())


if __name__ == "__main__":
    main()
