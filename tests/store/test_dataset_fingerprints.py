import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from hpc_xfer.errors import DataError, StoreError
from hpc_xfer.store.dataset_fingerprints import (
    accept,
    accept_words,
    check_unchanged,
    check_words_unchanged,
    keep_first,
)
from hpc_xfer.store.store import Store

OLD, NEW = "a" * 64, "b" * 64


def test_the_first_fingerprint_is_kept_and_the_same_one_passes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_first(store, "pets", OLD)
    first = store.dataset_fingerprint("pets").read_bytes()
    check_unchanged(store, "pets", OLD)
    check_unchanged(store, "dtd", NEW)  # another data set
    assert store.dataset_fingerprint("pets").read_bytes() == first


def test_to_compare_keeps_nothing(tmp_path: Path) -> None:
    """A data set whose images do not decode changes when it is mended."""
    store = Store(tmp_path)
    assert not check_unchanged(store, "pets", OLD)
    assert not check_unchanged(store, "pets", NEW)
    keep_first(store, "pets", NEW)
    assert check_unchanged(store, "pets", NEW)


def test_another_fingerprint_is_one_sentence_with_the_ways_out(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_first(store, "pets", OLD)
    with pytest.raises(DataError) as caught:
        check_unchanged(store, "pets", NEW)
    assert str(caught.value) == (
        "data set 'pets' has changed: it was aaaaaaaaaaaa and is bbbbbbbbbbbb; restore it, give "
        "the new one another name, or run `python -m hpc_xfer.datasets check pets --accept "
        f"{tmp_path}`"
    )


def test_an_accepted_change_counts_and_the_earlier_one_is_remembered(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_first(store, "pets", OLD)
    assert accept(store, "pets", NEW) == OLD
    assert accept(store, "pets", NEW) is None
    check_unchanged(store, "pets", NEW)
    with pytest.raises(DataError):
        check_unchanged(store, "pets", OLD)
    content = json.loads(store.dataset_fingerprint("pets").read_text())
    assert [each["fingerprint"] for each in content["earlier"]] == [OLD]


def test_accepting_the_first_fingerprint_keeps_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert accept(store, "pets", NEW) is None
    check_unchanged(store, "pets", NEW)


def test_of_many_processes_that_come_first_one_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fingerprints = [f"{i:064x}" for i in range(16)]

    def outcome(fingerprint: str) -> bool:
        try:
            keep_first(store, "pets", fingerprint)
        except DataError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(partial(outcome), fingerprints)) == 1


@pytest.mark.parametrize("name", ["torchvision:CIFAR10", "a/b", "../up", "größe", "."])
def test_any_name_of_a_data_set_is_one_file(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    keep_first(store, name, OLD)
    path = store.dataset_fingerprint(name)
    assert path.is_file() and path.parent == store.dataset_fingerprint("pets").parent


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep_first(store, "pets", OLD)
    path = store.dataset_fingerprint("pets")
    path.write_text("{")
    with pytest.raises(StoreError, match="is damaged or of another version; remove it if"):
        check_unchanged(store, "pets", OLD)


def test_class_names_are_kept_apart_from_images(tmp_path: Path) -> None:
    """Linear probes go on where only prompts have changed."""
    store = Store(tmp_path)
    keep_first(store, "pets", OLD)
    check_words_unchanged(store, "pets", OLD)
    check_words_unchanged(store, "pets", OLD)
    with pytest.raises(DataError) as caught:
        check_words_unchanged(store, "pets", NEW)
    assert str(caught.value) == (
        "class names or prompts of data set 'pets' have changed: they were aaaaaaaaaaaa and are "
        "bbbbbbbbbbbb; restore them, give the data set another name, or run `python -m "
        f"hpc_xfer.datasets check pets --accept {tmp_path}`"
    )
    check_unchanged(store, "pets", OLD)
    assert accept_words(store, "pets", NEW) == OLD
    check_words_unchanged(store, "pets", NEW)
    check_unchanged(store, "pets", OLD)
