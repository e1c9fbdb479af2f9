"""The files in a source's folder: what is not used is counted, and named with a way out."""

import os
import shlex
from pathlib import Path

import pytest

from hpc_xfer.config.shard_files import shard_patterns
from hpc_xfer.config.shard_files.listing import list_shards, unused
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def told(folder: Path, pattern: str | None = None) -> list[str]:
    used = list_shards(folder, pattern)
    return [
        each.sentence(folder).removeprefix(f"{folder}: ") for each in unused(folder, used, pattern)
    ]


def test_shards_in_a_deeper_folder_are_told_with_a_pattern_for_all(tmp_path: Path) -> None:
    """img2dataset was run again into a folder inside, and nobody saw that it is not read."""
    touch(tmp_path, "00000.tar", "part-2/00001.tar", "part-2/00002.tar", "a/b/c/00003.tar")
    assert list(list_shards(tmp_path)) == ["00000.tar"]
    assert told(tmp_path) == [
        "3 shards in deeper folders are not used, the first a/b/c/00003.tar; use all of them by a "
        f"pattern: `python -m hpc_xfer.shards index {shlex.quote(f'{tmp_path}/**/*.tar')}`"
    ]
    assert len(list_shards(tmp_path, "**/*.tar")) == 4
    assert told(tmp_path, "**/*.tar") == []


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "0.tar")
    (tmp_path / "1.tar").symlink_to("/nowhere/1.tar")
    (tmp_path / "2.tar").symlink_to("2.tar")
    assert told(tmp_path) == [
        "2 links that lead nowhere are not used, the first 1.tar; bring the file back or remove "
        "the link"
    ]


ODD_NAMES = {
    ".0.tar": "1 hidden shard is",
    ".cache/0.tar": "1 hidden shard is",
    "._0.tar": "1 hidden shard is",
    "1.TAR": "1 name that ends in .tar in capitals is",
    "1.tar.gz": "1 compressed shard is",
    "1.tgz": "1 compressed shard is",
    "1.Tar.Zst": "1 compressed shard is",
    "1.tar.part": "1 unfinished download of a shard is",
    "1.tar.bak": "1 file whose name goes on after .tar is",
    "1.tar (1)": "1 file whose name goes on after .tar is",
    "1.zip": "1 archive of another kind is",
    "1.jpg": "1 image outside of shards is",
    "1.tar/0.jpg": "1 folder named like a shard is",
}


@pytest.mark.parametrize(("name", "sentence"), ODD_NAMES.items())
def test_what_looks_like_data_beside_shards_is_told(
    name: str, sentence: str, tmp_path: Path
) -> None:
    touch(tmp_path, "0.tar", "1.parquet", "1_stats.json", "README", "notes/plan.txt", name)
    first, *_ = told(tmp_path)
    assert first.startswith(f"{sentence} not used, the first {name.removesuffix('/0.jpg')}; ")


def test_a_pipe_that_is_named_like_a_shard_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "0.tar")
    os.mkfifo(tmp_path / "1.tar")
    assert told(tmp_path) == [
        "1 thing named like a shard that is not a file is not used, the first 1.tar; remove it"
    ]


def test_links_that_lead_round_and_round_are_looked_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "0.tar", "a/1.tar")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert [sentence[:26] for sentence in told(tmp_path)] == ["1 shard in a deeper folder"]


def test_a_folder_with_a_hundred_thousand_files_is_not_searched_for_ever(tmp_path: Path) -> None:
    touch(tmp_path, "0.tar")
    for number in range(1010):
        (tmp_path / f"class-{number}").mkdir()
    (sentence,) = told(tmp_path)
    assert sentence.startswith("11 folders were not looked into, for there are very many names")


def test_a_folder_without_shards_that_can_be_used_says_what_it_holds(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/0.tar", "a/b/1.tar.gz")
    with pytest.raises(DataError) as caught:
        ShardIndex.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds no .tar shards that can be used: 1 shard in a deeper folder is not "
        "used, the first a/b/0.tar; use all of them by a pattern: `python -m hpc_xfer.shards index "
        f"{shlex.quote(f'{tmp_path}/**/*.tar')}`; 1 compressed shard is not used, the first "
        "a/b/1.tar.gz; unpack it to a plain .tar"
    )


# Patterns.


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{00..02}.tar", ["00.tar", "01.tar", "02.tar"]),
        ("0{0,2}.tar", ["00.tar", "02.tar"]),
        ("{a,b}/{00..01}.tar", ["a/00.tar", "a/01.tar", "b/00.tar", "b/01.tar"]),
        ("?/0*.tar", ["a/00.tar", "a/01.tar", "b/00.tar", "b/01.tar"]),
        ("a/**/*.tar", ["a/00.tar", "a/01.tar", "a/deep/7.tar"]),
        ("./a/[0-9]0.tar", ["a/00.tar"]),
    ],
)
def test_a_pattern_names_shards(pattern: str, names: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "my [old] shards"
    touch(folder, "00.tar", "01.tar", "02.tar", "a/00.tar", "a/01.tar", "a/deep/7.tar")
    touch(folder, "b/00.tar", "b/01.tar", "a/.0.tar")
    found, rest = shard_patterns.split(f"{folder}/{pattern}")
    assert [found / name for name in list_shards(found, rest)] == [folder / name for name in names]


def test_shards_beside_a_pattern_are_told(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number:05d}.tar" for number in range(1203)))
    assert told(tmp_path, "{00000..00002}.tar") == [
        "1,200 shards beside the pattern '{00000..00002}.tar' are not used, the first 00003.tar"
    ]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{000..}{,x.tar", "write braces as {000..099} or {a,b}"),
        ("{0..9999999}.tar", "names more than 1,000,000 shards; shorten its brace lists"),
        ("../{0..1}.tar", "leaves the folder; write the common folder before the {"),
        ("{/data/a,/data/b}/0.tar", "leaves the folder; write the common folder before the {"),
        ("{0..3}", "names '0', which does not end in .tar; end it so"),
        ("{0..3,2}/{a,a}.tar", "names 0..3/a.tar 2 times; name each shard once"),
        ("a/**.tar", "write it as a shell has it"),
    ],
)
def test_a_wrong_pattern_is_told(pattern: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        list_shards(tmp_path, pattern)
    assert str(caught.value).startswith(f"{tmp_path}/{pattern}: ")
    assert str(caught.value).endswith(why)


@pytest.mark.parametrize("text", ["s3://a/{0..9}.tar", "s3:/a/{0..9}.tar", "pipe:cat 0.tar"])
def test_a_pattern_of_another_machine_is_told(text: str) -> None:
    with pytest.raises(DataError, match="is not on a file system; copy the shards and name"):
        shard_patterns.split(text)


def test_joined_patterns_are_told() -> None:
    with pytest.raises(DataError, match=r"joins patterns by `::`; write one pattern: DIR/{a,b}"):
        shard_patterns.split("a/0.tar::b/0.tar")


def test_a_pattern_in_the_site_file_is_told_with_the_way_out(tmp_path: Path) -> None:
    place = tmp_path / "{00000..00099}.tar"
    with pytest.raises(DataError) as caught:
        ShardIndex.load(place)
    assert str(caught.value) == (
        f"{place}: is a pattern; run `python -m hpc_xfer.shards index {shlex.quote(str(place))}` "
        f"once, and name {tmp_path} in the site file"
    )


def test_shards_at_any_depth_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "0.tar", "a/b/c/d/e/f/1.tar")
    [sentence] = told(tmp_path)
    assert sentence.startswith("1 shard in a deeper folder is not used, the first a/b/c/d/e/f/1")
