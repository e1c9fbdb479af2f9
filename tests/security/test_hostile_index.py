"""An index.json from the web: one sentence, nothing large in memory, no file outside the folder."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_xfer.config import shard_index
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.own_datasets.stated_words import stated_words
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, XferError
from hpc_xfer.system.screen.plain_text import plain

SHARD = {"name": "0.tar", "samples": 3, "bytes": 10240, "sha256": "a" * 64}
INDEX = {"schema": 1, "samples": 3, "fields": ["jpg"], "classes": None, "shards": [SHARD]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "0.tar").write_bytes(bytes(10240))
    (tmp_path / "secret.tar").write_bytes(bytes(10240))
    return folder


def refusal(folder: Path, content: object) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "index.json").write_bytes(data)
    with pytest.raises(DataError) as refused:
        ShardIndex.load(folder)
    told = str(refused.value)
    assert "index.json: is damaged or of another version (" in told
    assert told.isprintable() and len(told) < 300 + 2 * len(str(folder))
    return told


def with_shard(**values: object) -> dict[str, object]:
    shard = {**SHARD, **values}
    return {**INDEX, "samples": shard["samples"], "shards": [shard]}


def test_the_index_that_the_attacks_change_is_a_good_one(source: Path) -> None:
    (source / "index.json").write_text(json.dumps(INDEX))
    assert ShardIndex.load(source).samples == 3


@pytest.mark.parametrize(
    "name",
    ["../secret.tar", "/etc/passwd", "/secret.tar", "a/../../secret.tar", "./0.tar", "a//0.tar", "",
     "0.tar/", "..", "0.tar\n", "\x1b[2J.tar", "\0.tar", "0.jpg", 7, None, ["0.tar"],
     "a" * 10_000 + ".tar"],
)  # fmt: skip
def test_a_shard_has_a_name_below_the_folder(source: Path, name: object) -> None:
    refusal(source, with_shard(name=name))


@pytest.mark.parametrize("pattern", ["../*.tar", "/*.tar", "{..,a}/*.tar", "a/../../{secret}.tar"])
def test_a_pattern_leads_nowhere_else(source: Path, pattern: str) -> None:
    (source / "index.json").write_text(json.dumps({**INDEX, "pattern": pattern}))
    with pytest.raises(DataError, match=r"leaves the folder|wrong|is one of|index"):
        ShardIndex.load(source)


@pytest.mark.parametrize("number", [10**18, 2**63, -1, 10**400, 1.5, 3.0, True, "3", None, [3]])
@pytest.mark.parametrize("key", ["samples", "bytes"])
def test_numbers_fit(source: Path, number: object, key: str) -> None:
    if (key, number) == ("bytes", 10**18):  # a number that fits: the size on disk differs
        return
    refusal(source, with_shard(**{key: number}))


def test_the_samples_of_a_shard_fit_into_it(source: Path) -> None:
    told = refusal(source, with_shard(samples=10_000_000))
    assert "(a shard has more samples than bytes)" in told


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 4},
        {"samples": 10**400},
        {"schema": True},
        {"schema": 2},
        {"schema": None},
        {"shards": {}},
        {"shards": [None]},
        {"shards": [SHARD, SHARD], "samples": 6},
        {"fields": "jpg"},
        {"fields": [1]},
        {"classes": {"a": 1}},
        {"classes": ["x" * 10_000]},
        {"classes": ["a"] * 1_500_000},
        {"label_key": 1},
        {"json_keys": [[]]},
        {"pattern": ["*.tar"]},
        {"texts": []},
        {"texts": {"a": -1}},
        {"oddities": [1]},
        {"oddities": [{"what": "a", "count": 1, "first": "b", "spoils": []}]},
        {"oddities": [{"what": "a", "count": 1, "first": "b", "of": "cats"}]},
        {"oddities": {"what": "a"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_types_sums_and_sizes_are_checked(source: Path, change: dict[str, Any]) -> None:
    refusal(source, {**INDEX, **change})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 2_000_000, b'{"a":' * 2_000_000, b"9" * 5000, b"\xff", b"null", b"[]",
     b'{"schema": ' + b"9" * 10_000 + b"}"],
    ids=["empty", "cut", "lists", "objects", "number", "bytes", "null", "list", "schema"],
)  # fmt: skip
def test_what_is_no_index_is_refused_in_a_sentence(source: Path, content: bytes) -> None:
    refusal(source, content)


def test_an_index_of_gigabytes_is_not_read(source: Path) -> None:
    with open(source / "index.json", "wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(DataError, match=r"index\.json: is damaged"):
        shard_index.parse(source)


def test_an_index_that_is_a_pipe_is_refused(source: Path) -> None:
    os.mkfifo(source / "index.json")
    with pytest.raises(DataError):
        ShardIndex.load(source)
    with pytest.raises(DataError, match=r"index\.json: is damaged"):
        shard_index.parse(source)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from(["0.tar", "../0.tar", 10**30, 2**63, -1, 3, 10240, "a" * 64]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from([*INDEX, *SHARD, "texts", "what", "count"]), inner),
    max_leaves=8,
)  # fmt: skip
KEYS = st.sampled_from([*INDEX, "label_key", "json_keys", "pattern", "oddities", "texts"])


def changed(index: dict[str, object], key: str, value: object) -> object:
    return {**index, key: value}


def shard_changed(index: dict[str, object], key: str, value: object) -> object:
    return {**index, "shards": [{**SHARD, key: value}]}


@settings(derandomize=True, deadline=None, max_examples=250)
@given(
    change=st.sampled_from([changed, shard_changed]),
    key=KEYS | st.sampled_from([*SHARD, "layout"]),
    value=VALUES,
)
def test_any_value_in_an_index_ends_in_nothing_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory,
    change: Callable[[dict[str, object], str, object], object],
    key: str,
    value: object,
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "0.tar").write_bytes(bytes(10240))
    (folder / "index.json").write_text(json.dumps(change(dict(INDEX), key, value)))
    try:
        index = ShardIndex.load(folder)
    except DataError:
        return
    assert index.samples == 3
    assert [index.path(each) for each in index.entries] == [folder / "0.tar"]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(content=VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_any_file_of_names_beside_a_data_set_ends_in_nothing_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "classes.json").write_bytes(content)
    try:
        stated_words("mine", Location("folder", folder)).for_classes(("a", "b"))
    except XferError as error:
        assert plain(str(error)) == str(error)


@pytest.mark.parametrize(
    "content",
    [b"[" * 1_000_000, b"9" * 5000, b'["' + b"a" * 5000 + b'"]', b"[" + b"9" * 5000 + b"]",
     b'{"a": "b", "a": "c"}', b'{"\\u001b[2J": 1}', json.dumps(["a"] * 1_500_000).encode(),
     b'{"classes": ["a"], "templates": [[[' + b"1," * 1000 + b"1]]]}"],
)  # fmt: skip
def test_an_odd_file_of_names_beside_a_data_set_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "classes.json").write_bytes(content)
    with pytest.raises(XferError) as refused:
        stated_words("mine", Location("folder", tmp_path)).for_classes(("a", "b"))
    told = str(refused.value)
    assert told.isprintable() and len(told) < 300 + len(str(tmp_path))


def test_names_beside_a_data_set_that_are_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "classes.json")
    with pytest.raises(DataError, match="is not a regular file"):
        stated_words("mine", Location("folder", tmp_path))
