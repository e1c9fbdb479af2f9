"""The site file of the stand-ins names all that a study on them reads."""

from pathlib import Path

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
