"""The shards command: `characters`, wrong arguments, and help."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools import rendered_characters
from hpc_xfer.compute.shards.shard import open_shard
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import StudyError
from tests.compute.shard_tools.making import write_shards
from tests.tars import samples


def render(out: Path, *options: str) -> int:
    small = ["--source", "mono", "--samples", "20", "--classes", "10", "--workers", "1"]
    return shards.main(["characters", str(out), *small, *options])


def test_characters_are_rendered_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render(tmp_path) == 0
    line = f"{tmp_path}/mono: 20 samples in 1 shard, 10 classes"
    assert capsys.readouterr().out == f"{line}\n"
    written = (tmp_path / "mono/000000.tar").stat().st_mtime_ns
    assert render(tmp_path) == 0
    assert capsys.readouterr().out == f"{line}, made before\n"
    assert (tmp_path / "mono/000000.tar").stat().st_mtime_ns == written
    assert ShardIndex.load(tmp_path / "mono").classes == (
        *("digit zero", "digit one", "digit two", "digit three", "digit four"),
        *("digit five", "digit six", "digit seven", "digit eight", "digit nine"),
    )


def test_other_options_render_again(tmp_path: Path) -> None:
    render(tmp_path)
    before = ShardIndex.load(tmp_path / "mono")
    render(tmp_path, "--seed", "1")
    assert ShardIndex.load(tmp_path / "mono").fingerprint != before.fingerprint
    render(tmp_path)
    assert ShardIndex.load(tmp_path / "mono") == before


def test_a_rendering_that_was_killed_is_done_again(tmp_path: Path) -> None:
    render(tmp_path)
    before = ShardIndex.load(tmp_path / "mono")
    (tmp_path / "mono/index.json").unlink()
    render(tmp_path)
    assert ShardIndex.load(tmp_path / "mono") == before


def test_any_number_of_processes_renders_the_same(tmp_path: Path) -> None:
    render(tmp_path / "one", "--samples", "300")
    render(tmp_path / "two", "--samples", "300", "--workers", "2")
    one, two = (ShardIndex.load(tmp_path / name / "mono") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint


def test_characters_do_not_replace_shards_of_other_programs(tmp_path: Path) -> None:
    write_shards(tmp_path / "mono", samples(2), None)
    with pytest.raises(StudyError, match="holds shards already"):
        render(tmp_path)


def test_the_command_knows_all_sources() -> None:
    assert tuple(rendered_characters.SOURCES) == shards.SOURCES


@pytest.mark.parametrize(
    "call",
    [["characters"], ["characters", "out", "--samples", "0"], ["make", "in"], ["bake"], []],
)
def test_wrong_arguments_exit_with_2(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        shards.main(call)
    assert caught.value.code == 2


def test_help_opens_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        shards.main(["make", "--help"])
    assert "python -m hpc_xfer.shards make photos/train sources/photos" in capsys.readouterr().out


def test_pixels_are_the_same_after_they_were_stored_in_a_shard(tmp_path: Path) -> None:
    render(tmp_path)
    data = open_shard(tmp_path / "mono/000000.tar").read(7)
    pixels = np.asarray(Image.open(io.BytesIO(data["png"])))
    drawn = rendered_characters.CharacterSamples("mono", classes=10)
    assert np.array_equal(pixels, drawn.pixels(7))
    assert int(data["cls"]) == drawn.label(7)
