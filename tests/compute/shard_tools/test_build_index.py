"""`shards index`: shards of any program are indexed, and warned about."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError
from tests.compute.shard_tools.making import with_json, write_shards
from tests.tars import cut, samples, write_tar


def test_foreign_shards_are_indexed(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"2\n"), ("10.jpg", b"3")])
    seen: list[tuple[int, int]] = []
    index = index_folder(tmp_path, progress=lambda *at: seen.append(at)).index
    assert index == ShardIndex.load(tmp_path)
    assert (index.samples, index.fields) == (2, ("cls", "jpg"))
    assert index.classes == ("0", "1", "2")
    assert seen == [(0, 1), (1, 1)]


def test_class_names_come_from_a_file_beside_the_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.cls", b"1")])
    (tmp_path / "classes.json").write_text('["cat", "dog", "never seen"]')
    assert index_folder(tmp_path).index.classes == ("cat", "dog", "never seen")
    (tmp_path / "classes.json").write_text('["cat"]')
    assert index_folder(tmp_path).warnings == (
        "a label outside of the 1 classes of classes.json: 1 of 1 samples, in 1 of 1 shards, the "
        "first 9 in b.tar: 1",
    )
    (tmp_path / "classes.json").write_text('{"cat": 0}')
    with pytest.raises(DataError, match="is not a JSON list of names"):
        index_folder(tmp_path)


def test_shards_with_captions_alone_have_no_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "b.tar", [("9.jpg", b"1"), ("9.txt", b"a cat")])
    assert index_folder(tmp_path).index.classes is None


def test_any_number_of_processes_writes_the_same_index(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(12), ["0", "1"], per_shard=3)
    written = ShardIndex.load(tmp_path)
    assert index_folder(tmp_path, workers=1).index == written
    assert index_folder(tmp_path, workers=3).index == written == ShardIndex.load(tmp_path)


def test_a_lost_index_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = write_shards(tmp_path, samples(3), ["cat", "dog"])
    (tmp_path / "index.json").unlink()
    (tmp_path / "classes.json").write_text('["cat", "dog"]')
    assert shards.main(["index", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["fingerprint"], printed["warnings"]) == (before.fingerprint, [])
    assert ShardIndex.load(tmp_path) == before


def test_the_first_broken_shard_is_named_and_the_others_are_counted(
    tmp_path: Path,
) -> None:
    write_shards(tmp_path, samples(9), None, per_shard=2)
    for number in (1, 3):
        cut(tmp_path / f"{number:06d}.tar", 3072)
    with pytest.raises(DataError, match=r"000001\.tar: is cut off .*; 1 more shards are broken$"):
        index_folder(tmp_path)


def test_shards_may_be_in_subfolders(tmp_path: Path) -> None:
    write_shards(tmp_path / "part-2", samples(3), None)
    write_shards(tmp_path / "part-1", samples(2), None)
    write_shards(tmp_path / ".part-3", samples(2), None)
    found = index_folder(tmp_path).index
    assert [entry.name for entry in found.entries] == ["part-1/000000.tar", "part-2/000000.tar"]
    assert ShardIndex.load(tmp_path).samples == 5
    assert shards.main(["check", str(tmp_path), "--workers", "1"]) == 0


def test_subfolders_are_ignored_in_a_folder_with_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, samples(3), None)
    write_shards(tmp_path / "moved away", samples(3), None)
    assert ShardIndex.load(tmp_path).samples == 3


def test_labels_may_be_names_in_the_json(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", with_json({"kind": "dog"}, {"kind": "cat"}))
    write_tar(tmp_path / "b.tar", with_json({"kind": "ape", "caption": "an ape"}))
    assert shards.main(["index", str(tmp_path), "--label-key", "kind"]) == 0
    found = ShardIndex.load(tmp_path)
    assert (found.classes, found.label_key) == (("ape", "cat", "dog"), "kind")
    assert found.json_keys == ("caption", "kind")
    (tmp_path / "classes.json").write_text('["dog", "cat", "ape"]')
    assert index_folder(tmp_path, label_key="kind").index.classes == ("dog", "cat", "ape")
    (tmp_path / "classes.json").write_text('["dog", "cat"]')
    assert index_folder(tmp_path, label_key="kind").warnings == (
        "a label outside of the 2 classes of classes.json: 1 of 3 samples, in 1 of 2 shards, the "
        "first 0 in b.tar: 'ape'",
    )


def test_labels_may_be_numbers_in_the_json(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", with_json({"label": 0}, {"label": 2}))
    by_number = index_folder(tmp_path, label_key="label").index
    assert by_number.classes == ("0", "1", "2")
    assert by_number.fingerprint != index_folder(tmp_path).index.fingerprint
    assert index_folder(tmp_path).index.classes is None


def test_a_label_key_that_no_sample_has_is_a_wrong_call(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", with_json({"kind": "cat", "age": 3}))
    with pytest.raises(DataError) as caught:
        index_folder(tmp_path, label_key="label")
    assert str(caught.value) == (
        f"{tmp_path}: no sample has a class number or a name under 'label' in its json; correct "
        "--label-key; some keys there: age, kind"
    )


def test_a_source_without_samples_is_indexed_with_a_warning(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [])
    write_tar(tmp_path / "b.tar", [("notes", b"no field")])
    found = index_folder(tmp_path)
    assert (found.index.samples, len(found.index.entries)) == (0, 2)
    assert found.warnings == (
        "left out of the shards: 1 files without a suffix, in 1 of 2 shards, the first notes in "
        "b.tar",
        "no samples: in 2 of 2 shards, the first a.tar",
    )


def img2dataset(folder: Path, name: str, samples: int, successes: int | None) -> None:
    """Write the files of one shard as img2dataset does."""
    values = [{"caption": f"image {i}", "key": f"{name}{i:04d}"} for i in range(samples)]
    write_tar(
        folder / f"{name}.tar",
        [
            (f"{name}{i:04d}.{field}", data)
            for i, value in enumerate(values)
            for field, data in [
                ("jpg", b"image"),
                ("json", json.dumps(value).encode()),
                ("txt", value["caption"].encode()),
            ]
        ],
    )
    status = ["success"] * (successes or samples) + ["failed_to_download"]
    parquet.write_table(pa.table({"status": status}), folder / f"{name}.parquet")
    if successes is not None:
        stats = {"count": successes + 1, "successes": successes, "failed_to_download": 1}
        (folder / f"{name}_stats.json").write_text(json.dumps(stats))


def test_shards_of_img2dataset_are_compared_with_its_stats(tmp_path: Path) -> None:
    img2dataset(tmp_path, "00000", samples=3, successes=3)
    assert index_folder(tmp_path).warnings == ()
    img2dataset(tmp_path, "00001", samples=2, successes=3)
    img2dataset(tmp_path, "00002", samples=2, successes=None)
    found = index_folder(tmp_path)
    assert found.warnings == (
        "00001.tar: holds 2 samples where 00001_stats.json says 3; download it again",
        "00002.tar: has no 00002_stats.json beside it, as others do; it may be incomplete",
    )
    assert (found.index.fields, found.index.json_keys) == (
        ("jpg", "json", "txt"),
        ("caption", "key"),
    )


def test_shards_without_stats_are_compared_with_the_table_of_img2dataset(tmp_path: Path) -> None:
    img2dataset(tmp_path, "00000", samples=2, successes=3)
    (tmp_path / "00000_stats.json").unlink()
    (warning,) = index_folder(tmp_path).warnings
    assert warning == "00000.tar: holds 2 samples where 00000.parquet says 3; download it again"
    parquet.write_table(pa.table({"other": [1]}), tmp_path / "00000.parquet")
    assert index_folder(tmp_path).warnings == ()
