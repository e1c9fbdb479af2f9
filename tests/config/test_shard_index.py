"""The index of a source: what it says, and how it finds out that it no longer fits."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files.oddity import Oddity
from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.errors import DataError


@pytest.fixture
def index(tmp_path: Path) -> ShardIndex:
    """Two shards of a folder whose name has a space; what is in them does not matter here."""
    folder = tmp_path / "my source"
    folder.mkdir()
    (folder / "000000.tar").write_bytes(b"x" * 100)
    (folder / "000001.tar").write_bytes(b"y" * 50)
    entries = (ShardEntry("000000.tar", 10, 100, "a" * 64), ShardEntry("000001.tar", 5, 50, "b"))
    index = ShardIndex(folder, entries, ("cls", "png", "txt"), ("cat", "dog"))
    shard_index.write(index)
    return index


def test_an_index_is_read_as_it_was_written(index: ShardIndex) -> None:
    assert ShardIndex.load(index.folder) == index
    assert index.samples == 15
    assert index.path(index.entries[0]) == index.folder / "000000.tar"


def test_the_file_says_it_in_plain_words(index: ShardIndex) -> None:
    assert json.loads((index.folder / "index.json").read_text()) == {
        "schema": 1,
        "samples": 15,
        "fields": ["cls", "png", "txt"],
        "classes": ["cat", "dog"],
        "shards": [
            {"name": "000000.tar", "samples": 10, "bytes": 100, "sha256": "a" * 64},
            {"name": "000001.tar", "samples": 5, "bytes": 50, "sha256": "b"},
        ],
    }


def test_the_fingerprint_is_of_the_content_and_not_of_the_place(index: ShardIndex) -> None:
    """Should this fail, old records no longer match the sources they were made from."""
    moved = ShardIndex(Path("/elsewhere"), index.entries, index.fields, index.classes)
    renamed = ShardIndex(index.folder, index.entries, index.fields, ("cat", "fox"))
    assert index.fingerprint[:12] == "07b2f53eeb3b"
    assert moved.fingerprint == index.fingerprint != renamed.fingerprint


def test_layouts_of_shards_are_kept_and_are_no_part_of_the_fingerprint(index: ShardIndex) -> None:
    entries = tuple(replace(entry, layout="0123456789abcdef") for entry in index.entries)
    known = replace(index, entries=entries)
    shard_index.write(known)
    assert ShardIndex.load(index.folder) == known
    assert known.fingerprint == index.fingerprint


def test_what_was_counted_is_kept_and_is_no_part_of_the_fingerprint(index: ShardIndex) -> None:
    known = replace(
        index,
        pattern="{000000..000001}.tar",
        oddities=(Oddity("no image", 2, "7 in 000001.tar", "image"), Oddity("odd", 1, "8")),
        texts=(("caption", 12),),
    )
    shard_index.write(known)
    assert ShardIndex.load(index.folder) == known
    assert known.fingerprint == index.fingerprint


def test_errors_name_the_command_that_made_the_index(index: ShardIndex) -> None:
    """Without pattern and key it would make an index of other data."""
    shard_index.write(replace(index, pattern="{000000..000001}.tar", label_key="my kind"))
    (index.folder / "000001.tar").unlink()
    place = shlex.quote(f"{index.folder}/{{000000..000001}}.tar")
    command = f"run `python -m hpc_xfer.shards index {place} --label-key 'my kind'`"
    assert refusal(index.folder).endswith(command)


def test_a_source_without_classes_has_none(index: ShardIndex) -> None:
    shard_index.write(ShardIndex(index.folder, index.entries, ("jpg", "txt"), None))
    assert ShardIndex.load(index.folder).classes is None


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        ShardIndex.load(folder)
    return str(caught.value)


def test_a_missing_folder_points_to_the_site_file(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    assert refusal(folder) == f"{folder}: no such folder; correct the path in the site file"


def test_an_empty_folder_is_no_source(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith(f"{tmp_path}: holds no .tar shards; make some with ")


def test_shards_without_an_index_name_the_command_that_makes_one(index: ShardIndex) -> None:
    (index.folder / "index.json").unlink()
    command = f"`python -m hpc_xfer.shards index '{index.folder}'`"  # as a shell must read it
    assert refusal(index.folder) == f"{index.folder}: has 2 shards but no index.json; run {command}"


@pytest.mark.parametrize(
    "text",
    ["", '{"schema": 1', "[]", "null", '{"schema": 2}', '{"schema": 1, "samples": 3}'],
)
def test_a_damaged_index_is_not_believed(index: ShardIndex, text: str) -> None:
    (index.folder / "index.json").write_text(text)
    assert "index.json: is damaged or of another version (" in refusal(index.folder)


def test_an_index_whose_sum_is_wrong_is_not_believed(index: ShardIndex) -> None:
    path = index.folder / "index.json"
    path.write_text(path.read_text().replace('"samples": 15', '"samples": 16'))
    assert "is damaged" in refusal(index.folder)


def test_a_shard_that_is_gone_is_named(index: ShardIndex) -> None:
    (index.folder / "000001.tar").unlink()
    assert "000001.tar: is listed in index.json but missing; bring it" in refusal(index.folder)


def test_a_link_to_nowhere_is_an_absent_shard(index: ShardIndex) -> None:
    (index.folder / "000001.tar").unlink()
    (index.folder / "000001.tar").symlink_to("/nowhere.tar")
    assert (
        "000001.tar: is listed in index.json but missing: it is a link to /nowhere.tar, which is "
        "not there; bring it back or run "
    ) in refusal(index.folder)


def test_a_cut_shard_is_found_by_its_size(index: ShardIndex) -> None:
    (index.folder / "000000.tar").write_bytes(b"x" * 60)
    found = "000000.tar: has 60 bytes where index.json says 100: it is cut off or was changed; copy"
    assert found in refusal(index.folder)


def test_a_shard_that_came_later_is_not_passed_over(index: ShardIndex) -> None:
    (index.folder / "000002.tar").write_bytes(b"z")
    assert "000002.tar: is the one shard that index.json does not list" in refusal(index.folder)
