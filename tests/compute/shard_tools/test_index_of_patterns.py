"""`shards index` with a pattern: an index of some of the shards of a folder."""

import shlex
from pathlib import Path

import pytest

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import write_shards
from tests.tars import samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four shards of two samples each."""
    write_shards(tmp_path, samples(8), ["0", "1"], per_shard=2)
    (tmp_path / "index.json").unlink()
    return tmp_path


def test_a_brace_list_is_indexed_and_the_other_shards_are_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shards.main(["index", f"{folder}/{{000001..000002}}.tar", "--workers", "1"]) == 0
    beside = (
        f"{folder}: 2 shards beside the pattern '{{000001..000002}}.tar' are not used, the first "
        "000000.tar"
    )
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}: 4 samples in 2 shards, 2 classes",
        f"warning: {beside}",
    ]
    index = ShardIndex.load(folder)
    assert (index.samples, index.pattern) == (4, "{000001..000002}.tar")
    assert shards.main(["check", str(folder), "--workers", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        beside,
        f"{folder}: 4 samples, no problems",
    ]


def test_a_pattern_of_all_shards_gives_the_fingerprint_of_the_folder(folder: Path) -> None:
    whole = index_folder(folder).index
    assert index_folder(folder / "*.tar").index.fingerprint == whole.fingerprint


def test_subfolders_that_a_pattern_names_are_indexed_in_their_common_folder(
    tmp_path: Path,
) -> None:
    for name in ("a", "b", "c"):
        write_shards(tmp_path / name, samples(2), None)
    index = index_folder(tmp_path / "{a,b}/{000000..000000}.tar").index
    assert index == ShardIndex.load(tmp_path)
    assert [entry.name for entry in index.entries] == ["a/000000.tar", "b/000000.tar"]


def test_a_shard_that_a_brace_list_names_must_be_there(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        index_folder(folder / "{000002..000011}.tar")
    assert str(caught.value) == (
        f"{folder}/000004.tar: is one of 8 shards that '{{000002..000011}}.tar' names and that are "
        "not there; bring them back or correct the pattern"
    )


def test_a_shard_that_came_later_and_fits_the_stars_is_not_passed_over(folder: Path) -> None:
    index_folder(folder / "0*.tar")
    (folder / "000009.tar").write_bytes((folder / "000001.tar").read_bytes())
    with pytest.raises(DataError) as caught:
        ShardIndex.load(folder)
    assert "000009.tar: is the one shard that index.json does not list; run" in str(caught.value)
    assert shlex.quote(f"{folder}/0*.tar") in str(caught.value)


def test_an_index_that_replaces_one_of_other_shards_says_so(folder: Path) -> None:
    index_folder(folder)
    first, *_ = index_folder(folder / "{000001..000002}.tar").warnings
    assert first == (
        f"{folder}/index.json: was of the whole folder (4 shards), and is replaced; link the "
        "shards of a second source into a folder of their own"
    )
    cached = [shard_index.sample_index_path(folder, f"00000{i}.tar").exists() for i in range(4)]
    assert cached == [False, True, True, False]
    first, *_ = index_folder(folder).warnings
    assert "was of the pattern '{000001..000002}.tar' (2 shards), and is replaced" in first


def test_a_pattern_that_names_nothing_is_told(folder: Path) -> None:
    with pytest.raises(DataError, match=r"/part-\*\.tar: names no shards; correct the pattern"):
        index_folder(folder / "part-*.tar")


def test_a_pattern_that_the_shell_has_expanded_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        shards.main(["index", *map(str, sorted(folder.glob("*.tar")))])
    assert caught.value.code == 2
    assert (
        "put a pattern in quotes, so that the shell does not expand it" in capsys.readouterr().err
    )


def test_a_shard_that_lies_there_twice_is_told(folder: Path) -> None:
    (folder / "copy.tar").symlink_to("000000.tar")
    assert index_folder(folder).warnings == (
        f"{folder}: 1 of 5 shards hold the same bytes as another, the first copy.tar (as "
        "000000.tar); their samples count twice",
    )
