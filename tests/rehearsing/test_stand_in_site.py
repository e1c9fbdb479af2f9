"""The site file of the stand-ins names all that a study on them reads."""

from pathlib import Path

import pytest

from hpc_xfer import launch
from hpc_xfer.config.recipes import Clip
from hpc_xfer.config.site import load_site
from hpc_xfer.config.training_data.source_needs import source_needs
from hpc_xfer.dataset_tools.stand_ins.stand_in_site import make_stand_ins
from hpc_xfer.study.stand_ins.tiny_archs import TinyArchs


def test_names_that_look_like_paths_lead_nowhere_else(tmp_path: Path) -> None:
    recipe = Clip(arch="ViT-B-32", source="../web", samples=64, samples_seen=32, batch=16)
    tiny = TinyArchs([recipe]).of(recipe.arch)
    folder = tmp_path / "stand_ins"
    made = make_stand_ins(
        folder, source_needs([recipe]), ["a/b"], {"..": (tiny, None), "lab/x": (tiny, None)}, None
    )
    site = load_site(made)
    own, other = (site.weights(name) for name in ("..", "lab/x"))
    place = site.dataset("a/b")
    assert own is not None and other is not None and place is not None
    paths = [Path(site.sources["../web"]), Path(own.path), Path(other.path), place.path]
    assert all(path.exists() and path.resolve().is_relative_to(folder) for path in paths)
    assert len(set(paths)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["stand_ins"]


GRID = """
name: misspelt
pretrain: [{method: clip, arch: RN50, source: laionn, samples: 2000, epochs: 1, batch: 100}]
finetune: {datasets: [digits, eurosat, flowers, dtdd], shots: [1], mode: lp}
"""
SITE = """
sources: {laion: /data/laion}
datasets: {eurosat: /data/eurosat, dtd: /data/dtd, flowers: "webdataset:/data/{split}.tar"}
"""


def test_what_a_launch_will_need_and_a_rehearsal_does_not_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stand-ins are made of anything, so a misspelt name would pass in silence."""
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "site.yaml").write_text(SITE)
    where = ["--site", str(tmp_path / "site.yaml"), "--store", str(tmp_path / "store")]
    call = [str(tmp_path / "grid.yaml"), *where, "--on", "local", "--dry-run"]
    assert launch.main([*call, "--rehearse", "--stand-ins"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-2:] == [
        "stand-ins: data sets of your own ('flowers', 'dtdd') are image folders of three classes; "
        "their form, names and prompts are not rehearsed",
        "stand-ins: a launch will need what the site file does not name: source 'laionn' (did you "
        "mean 'laion'?), data set 'dtdd' (did you mean 'dtd'?)",
    ]
