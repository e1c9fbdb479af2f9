"""Cards of the packaged data sets: complete, in label order, fast to read."""

import pytest

from hpc_xfer.config.dataset_cards import CARDS, card


@pytest.mark.parametrize("name", CARDS)
def test_a_card_says_what_the_data_set_is_and_where_it_comes_from(name: str) -> None:
    found = card(name)
    assert found.name == name
    assert found.title and found.licence and found.split
    assert found.home.startswith("http")
    assert found.archives or found.manual
    assert all(archive.url.startswith("http") for archive in found.archives)


@pytest.mark.parametrize("name", CARDS)
def test_class_names_are_words_and_none_stands_twice(name: str) -> None:
    classes = card(name).classes
    assert len(set(classes)) == len(classes)
    assert not [words for words in classes if "_" in words or words.isdigit() or words.isupper()]


def test_the_numbers_of_classes_are_those_of_the_owners() -> None:
    assert {name: len(card(name).classes) for name in CARDS} == {
        "cifar100": 100, "dtd": 47, "caltech101": 101, "pets": 37, "real": 345, "clipart": 345,
        "eurosat": 10, "cassava": 5, "cct20": 15,
    }  # fmt: skip


def test_labels_of_domainnet_are_not_the_order_of_folders() -> None:
    folders = card("real").folders
    assert folders == card("clipart").folders
    assert sorted(folders)[0] == "The_Eiffel_Tower"
    assert folders.index("The_Eiffel_Tower") == 308
    assert folders.index("cello") + 1 == folders.index("cell_phone")


def test_a_further_test_set_says_where_it_comes_from() -> None:
    found = {name: list(card(name).further) for name in CARDS if card(name).further}
    assert found == {
        "cifar100": ["cifair"], "real": ["clipart"], "clipart": ["real"], "cct20": ["cct20_trans"],
    }  # fmt: skip


def test_cassava_says_what_must_be_done_by_hand() -> None:
    assert "make an account" in (card("cassava").manual or "")
