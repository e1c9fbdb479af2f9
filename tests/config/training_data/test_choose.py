"""Selections of samples by columns: what is left, in which order it is applied, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.training_data import columns, key_list
from hpc_xfer.config.training_data.choose import choose
from hpc_xfer.config.training_data.columns import SourceColumns, text_hash
from hpc_xfer.config.training_data.selection import KeyList, SampleSelection
from hpc_xfer.errors import DataError
from tests.fabricated import source

SAMPLES = 100


@pytest.fixture
def made(tmp_path: Path) -> SourceColumns:
    """100 samples: score n / 100 but none for sample 99, hashes in pairs, five classes."""
    index = ShardIndex.load(source(tmp_path / "laion", "cls jpg", SAMPLES))
    classes = tuple("abcde")
    index = ShardIndex(index.folder, index.entries, index.fields, classes)
    score = np.arange(SAMPLES) / 100
    score[99] = np.nan
    pairs = np.array([text_hash(f"{n // 2:x}") for n in range(SAMPLES)], np.uint64)
    keys = np.array([text_hash(f"{n:05d}") for n in range(SAMPLES)], np.uint64)
    return columns.write(
        index,
        {
            "clip_score": ("number", score),
            "phash": ("text", pairs),
            "key": ("text", keys),
            "class": ("class", np.arange(SAMPLES) % 5),
        },
        check=lambda *_: None,
    )


def left(made: SourceColumns, seed: int = 0, **selection: Any) -> list[int]:
    found: list[int] = choose(made, SampleSelection(**selection), seed).samples.tolist()
    return found


def refusal(made: SourceColumns, **selection: Any) -> str:
    with pytest.raises(DataError) as refused:
        left(made, **selection)
    return str(refused.value).replace(f"{made.index.folder.parent}/", "")


def test_a_score_above_a_value_and_its_best_share_are_chosen(made: SourceColumns) -> None:
    assert left(made, above={"clip_score": 0.9}) == [*range(91, 99)]
    assert left(made, best={"clip_score": 0.1}) == [*range(89, 99)]
    assert left(made, best={"clip_score": 1}) == [*range(99)]  # a sample has no score


def test_a_smaller_share_is_inside_a_larger_one(made: SourceColumns) -> None:
    small, large = left(made, best={"clip_score": 0.2}), left(made, best={"clip_score": 0.3})
    assert set(small) < set(large)


def test_low_scores_are_chosen_below_a_value(made: SourceColumns) -> None:
    high = left(made, above={"clip_score": 0.3})
    rest = left(made, below={"clip_score": 0.3})
    assert rest and not set(high) & set(rest)
    assert left(made, above={"clip_score": 0.1}, below={"clip_score": 0.3}) == [
        n for n in left(made, above={"clip_score": 0.1}) if n in rest
    ]
    assert SampleSelection(below={"clip_score": 0.3}).text == "below 0.3 clip_score"


def test_one_of_each_value_of_a_hash_is_chosen(made: SourceColumns) -> None:
    assert left(made, distinct="phash") == [*range(0, 100, 2)]


def test_at_most_n_of_each_class_are_chosen_and_fewer_are_among_more(made: SourceColumns) -> None:
    few, more = left(made, per_class=3), left(made, per_class=8)
    assert [sum(n % 5 == c for n in few) for c in range(5)] == [3] * 5
    assert set(few) < set(more) and left(made, per_class=500) == [*range(100)]
    assert left(made, seed=1, per_class=3) != few


def test_n_classes_with_m_images_each_are_chosen_and_nested_in_both(made: SourceColumns) -> None:
    found = left(made, classes=2, per_class=4)
    assert len(found) == 8 and len({n % 5 for n in found}) == 2
    assert set(found) < set(left(made, classes=3, per_class=4))
    assert set(found) < set(left(made, classes=2, per_class=6))


def test_parts_of_a_selection_are_applied_in_the_documented_order(made: SourceColumns) -> None:
    chosen = choose(
        made,
        SampleSelection(
            per_class=2, distinct="phash", best={"clip_score": 0.5}, above={"clip_score": 0}
        ),
        seed=0,
    )
    assert chosen.told == (
        "above 0 clip_score leaves 98, best 50% clip_score leaves 49, distinct phash leaves 25, "
        "2 per class leaves 10"
    )


def test_keys_of_a_list_are_chosen(made: SourceColumns, tmp_path: Path) -> None:
    path = tmp_path / "good.txt"
    path.write_text("00007\n 00003 \n\nnowhere\n00007\n")
    keys = KeyList(sha256=key_list.digest(path), path=str(path))
    for _ in range(2):  # the second time from the store
        listed = key_list.hashes(keys, tmp_path / "store")
        chosen = choose(made, SampleSelection(keys=keys), 0, listed)
        assert chosen.samples.tolist() == [3, 7] and chosen.told == "keys good leaves 2"
        key_list.put_in_store(tmp_path / "store", keys)
        path.unlink(missing_ok=True)


def test_keys_are_found_in_a_column_of_numbers_too(made: SourceColumns, tmp_path: Path) -> None:
    """A json has 7 where the list has the text 7; lines of Windows, and some there twice."""
    numbers = np.arange(SAMPLES) * 1.0
    numbers[3] = np.nan
    there = columns.write(
        made.index,
        {"id": ("number", numbers), "class": ("class", np.arange(SAMPLES) % 5)},
        check=lambda *_: None,
    )
    path = tmp_path / "kept.txt"
    path.write_bytes(b"7\r\n12\r\n7\r\n3\r\n\r\n1000\r\n")
    listed = KeyList(sha256=key_list.digest(path), column="id", path=str(path))
    hashes = key_list.hashes(listed)
    found = choose(there, SampleSelection(keys=listed), 0, hashes)
    assert found.samples.tolist() == [7, 12]
    of_classes = SampleSelection(keys=listed.model_copy(update={"column": "class"}))
    with pytest.raises(DataError, match="holds classes"):
        choose(there, of_classes, 0, hashes)


def test_a_list_that_is_nowhere_or_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "good.txt"
    path.write_text("00007\n")
    keys = KeyList(sha256=key_list.digest(path), path=str(path))
    path.write_text("00008\n")
    with pytest.raises(DataError, match="has changed since the grid was read"):
        key_list.hashes(keys)
    with pytest.raises(DataError, match="not found; a launch writes this list of keys, so launch"):
        key_list.hashes(keys.model_copy(update={"path": ""}), tmp_path / "store")


def test_what_a_source_lacks_is_told_with_the_command_that_makes_it(made: SourceColumns) -> None:
    assert refusal(made, above={"aesthetic": 5}).endswith(
        "laion: has no column 'aesthetic'; run `python -m hpc_xfer.shards index "
        f"{made.index.folder} --columns clip_score,phash,key,class,aesthetic`".replace(
            f"{made.index.folder.parent}/", ""
        )
    )
    assert refusal(made, best={"phash": 0.5}) == (
        "laion: the column 'phash' does not hold numbers, which above, below and best need; name "
        "another column"
    )
    assert refusal(made, classes=9, per_class=1) == (
        "laion: has 5 classes, fewer than 9; lower classes"
    )
    assert refusal(made, classes=2, per_class=21) == (
        "laion: 2 of the 2 classes drawn have fewer than 21 images, the first 'b' with 20; lower "
        "per_class, select less, or change subset_seed"
    )


def test_columns_are_read_as_they_were_written(made: SourceColumns) -> None:
    again = columns.load(made.index)
    assert again == made
    assert again.values("class").tolist() == [n % 5 for n in range(SAMPLES)]
    assert again.by_name["clip_score"].missing == 1


def test_columns_of_other_shards_and_damaged_ones_are_refused(made: SourceColumns) -> None:
    index = made.index
    other = ShardIndex(index.folder, index.entries, index.fields, ("x",))
    with pytest.raises(
        DataError, match=r"belongs to other shards than .*; run `.* --columns clip_score"
    ):
        columns.load(other)
    file = index.folder / "columns" / made.by_name["phash"].file
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"cannot be read \(is cut off\); run"):
        columns.load(index).values("phash")
    file.write_bytes(b"no array")
    with pytest.raises(DataError, match="cannot be read"):
        columns.load(index).values("phash")
    (index.folder / "columns.json").write_text('{"schema": 1, "columns": [{"name": 3}]}')
    with pytest.raises(DataError, match="is damaged or of another version"):
        columns.load(index)
