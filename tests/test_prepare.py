"""What a launch leaves in the store, and how it names its jobs, before anything runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hpc_xfer import jobs, plan, prepare, study
from hpc_xfer.orders import Order
from hpc_xfer.site import Site
from hpc_xfer.store import Store
from tests.conftest import ROOT


def test_long_labels_make_no_name_too_long_and_no_two_alike(tmp_path: Path) -> None:
    """Two blocks that differ in a dozen templates, of which the last word differs."""
    places = ("in the wild", "on a table", "from above", "in the dark", "at the sea", "up close")
    shots = [f"a {how} photo of a {{}} {place}." for how in ("good", "bad") for place in places]
    base = {"method": "clip", "arch": "RN50", "source": "sans", "samples": 100, "epochs": 1}
    blocks = [
        {**base, "batch": 10, "caption": {"templates": [*shots, f"a {last} of a {{}}."]}}
        for last in ("photo", "drawing")
    ]
    grid = tmp_path / "a.yaml"
    grid.write_text(json.dumps({"name": "long", "pretrain": blocks}))
    asked, store = study.load(grid), Store(tmp_path / "store")
    order = Order(asked, plan.make(asked), store, Site(), None)

    prepare.prepare(asked, order.whole, store)
    links = sorted(link.name for link in store.study("long").tensorboard.iterdir())
    assert len(links) == 2 and all(link.startswith("clip-sans-100-caption") for link in links)
    names = [job.name for job in jobs.coming(order, set()) if job.name.startswith("pre.")]
    assert len({name.split(".")[1] for name in names}) == 2
    assert all(len(name) < 120 for name in [*links, *names])


def test_a_launched_study_reads_the_same_where_the_locale_is_not_utf_8(tmp_path: Path) -> None:
    grid = tmp_path / "a.yaml"
    question = "Does “pré-entraînement” help?"
    text = f"name: x\nquestion: {question}\npretrain: [{{method: scratch, arch: RN50}}]\n"
    grid.write_text(text, encoding="utf-8")
    asked, store = study.load(grid), Store(tmp_path / "store")
    prepare.prepare(asked, plan.make(asked), store)
    code = (
        "import sys; from pathlib import Path; from hpc_xfer import prepare, store;"
        "print(ascii(prepare.launched(store.Store(Path(sys.argv[1])), 'x')[0].question))"
    )
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.root)],
        env={**os.environ, **ascii_locale}, cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    assert done.stdout.decode() == f"{question!a}\n"
