"""The folder in which the commands of pages are typed, with small things under the names of pages.

Studies are done, with made-up results, so that launching them collects and reports. A store,
sources and data sets are there; Slurm is not.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import yaml
from pyarrow import parquet

from hpc_xfer import shards
from hpc_xfer.__main__ import main_of
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests import data_page, fabricated, official_copies
from tests.conftest import ROOT
from tests.tars import write_tar
from tests.test_import import PUBLISHED

PAPER = "Hyperparameters_results.csv"
GRID = """
name: size_scaling
question: Does more pre-training data of the same kind transfer better, and for how many shots?
pretrain:
  - {method: clip, arch: ARCH, source: [laion, yfcc], samples: 8, epochs: 1, batch: 4}
  - {method: scratch, arch: ARCH}
finetune: {datasets: [digits], shots: [1, 5], draws: 2, mode: [lp]}
"""


def lay_out(folder: Path) -> None:
    """Make all that the commands read; `folder` is where they are typed."""
    for name in ("docs", "sbatch", "benchmarks", "hpc_xfer"):
        (folder / name).symlink_to(ROOT / name)
    _grids(folder)
    for name in ("shards/laion", "shards/yfcc", "sources/laion", "sources/laion/more"):
        _shards(folder / name)
    for name in ("sans", "serif"):
        fabricated.source(folder / "demo/shards" / name, samples=6000)
    _photos(folder)
    _imagenet(folder)
    _tables(folder)
    _site(folder)
    for grid in ("grids/size_scaling.yaml", "grids/demo/demo.yaml"):
        store = Store(folder / ("demo/store" if "demo" in grid else "runs"))
        for run in make_plan(load_study(folder / grid)).runs:
            fabricated.record(store, run)
            if run.kind == "pretrain":
                store.run(run.id).encoder.touch()

    _published(folder)


def _published(folder: Path) -> None:
    """The paper's results, converted and imported."""
    assert convert(folder, ["docs/convert_paper_results.py", PAPER, "paper.csv"]) == 0
    words = ["paper.csv", "docs/paper_results.yaml", "site.yaml"]
    table, grid, site = (str(folder / word) for word in words)
    assert main_of("import")([table, grid, "--tuned", "attempt", "--site", site]) == 0


def a_run(folder: Path) -> str:
    """The id of a pre-training of size_scaling."""
    return make_plan(load_study(folder / "grids/size_scaling.yaml")).of("pretrain")[0].id


def _grids(folder: Path) -> None:
    for name in ("demo", "archs"):
        (folder / "grids" / name).parent.mkdir(exist_ok=True)
        (folder / "grids" / name).symlink_to(ROOT / "grids" / name)
    (folder / "grids/small").mkdir()
    (folder / "grids/size_scaling.yaml").write_text(GRID.replace("ARCH", "archs/glyph.json"))
    for path in ROOT.glob("grids/**/*.yaml"):  # the other studies: this one under their names
        copy = folder / path.relative_to(ROOT)
        if copy.exists() or path.name.endswith(".site.yaml"):
            continue
        text = GRID.replace("ARCH", "glyph.json").replace("size_scaling", f"{path.stem}_other")
        (copy.parent / "glyph.json").write_text((ROOT / "grids/archs/glyph.json").read_text())
        copy.write_text(text)


def _site(folder: Path) -> None:
    data = folder / "data"
    site = {
        "store": str(folder / "runs"),
        "sources": {name: str(folder / "shards" / name) for name in ("laion", "yfcc")},
        "datasets": {
            "pets": official_copies.site_entry("pets", data),
            "plants": str(folder / "photos"),
        },
    }
    for name in ("site.yaml", "grids/paper.site.yaml"):
        (folder / name).write_text(yaml.safe_dump(site))


def _shards(folder: Path) -> None:
    folder.mkdir(parents=True)
    for shard in range(2):
        keys = range(4 * shard, 4 * shard + 4)
        fields = {f"{key:05}.jpg": data_page.photo(key) for key in keys}
        texts = {f"{key:05}.txt": b"a photo" for key in keys}
        write_tar(folder / f"{shard:05}.tar", sorted({**fields, **texts}.items()))
    assert shards.main(["index", str(folder)]) == 0


def _photos(folder: Path) -> None:
    for split, first in (("train", 0), ("test", 50)):
        for label, name in enumerate(("fern", "moss")):
            (folder / "photos" / split / name).mkdir(parents=True)
            for i in range(4):
                image = data_page.photo(100 * label + first + i)
                (folder / "photos" / split / name / f"{i}.jpg").write_bytes(image)


def _imagenet(folder: Path) -> None:
    """Two class folders, their shards, and the texts of their images."""
    entries = []
    for label, name in enumerate(("n01440764", "n01443537")):
        (folder / "imagenet/train" / name).mkdir(parents=True)
        for i in range(4):
            image = f"{name}_{i}.JPEG"
            (folder / "imagenet/train" / name / image).write_bytes(data_page.photo(10 * label + i))
            entries.append({"filename": image, "title": f"my pet {i}", "tags": ["fish", "tank"]})
    (folder / "imagenet_captions.json").write_text(json.dumps(entries))
    words = [str(folder / "imagenet/train"), str(folder / "shards/imagenet"), "--short-side", "384"]
    assert shards.main(["make", *words]) == 0
    out = "shards/imagenet_captions"
    script = ["docs/imagenet_captions.py", "imagenet/train", "imagenet_captions.json", out]
    assert convert(folder, script) == 0


def _tables(folder: Path) -> None:
    paths = sorted(str(path.relative_to(folder)) for path in folder.glob("photos/train/*/*.jpg"))
    table = pa.table({"path": paths, "text": [f"photo {i}" for i in range(len(paths))]})
    parquet.write_table(table, folder / "captions.parquet")
    (folder / PAPER).write_text(PUBLISHED.replace(",", "\t"))
    with (folder / "results.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["dataset", "shots", "mode", "test_top1", "method", "arch"])
        rows.writerow(["digits", 5, "lp", 0.7, "moco", "RN50"])


def convert(folder: Path, words: list[str]) -> int:
    """Run a script of docs/, which is no module of the package."""
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True).returncode
