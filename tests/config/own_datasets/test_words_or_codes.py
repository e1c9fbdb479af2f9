"""Class names that a text tower can know, told from numbers and codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_xfer.config.dataset_cards import CARDS, card
from hpc_xfer.config.own_datasets.words_or_codes import are_words, words_of

CODES = [
    ("k0", "k1", "k2", "k3"),
    ("0", "1", "2"),
    ("1.0", "2.5"),
    ("n01440764", "n01443537"),
    ("class 1", "class 2"),
    ("label_1", "label_2"),
    ("category-3", "category-4"),
    ("class I", "class II", "class III"),
    ("cls-a", "cls-b"),
    ("c_aa", "c_ab"),
    ("a", "b", "c"),
    ("CBB", "CMD"),
    ("a3f9c1", "0be4d2", "ffe1a9"),
    ("t4gopz8e", "q7iwba2x"),
    ("550e8400-e29b-41d4-a716-446655440000", "7c9e6679-7425-40de-944b-e07fc1f90ae7"),
    ("737-200", "737-300"),
    ("IMG001", "IMG002"),
    ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),  # HAM10000
    ("类别1", "类别2"),
    ("クラスA", "クラスB"),
]
WORDS = [
    ("cat", "dog"),
    ("CAT", "DOG"),
    ("ox", "cow"),
    ("no", "yes"),
    ("lynx", "fly"),
    ("digit zero", "digit one"),
    ("golden_retriever", "pug"),
    ("GoldenRetriever", "GermanShepherd"),
    ("The_Eiffel_Tower", "zebra "),
    ("n01440764-tench", "n01443537-goldfish"),
    ("001.Black_footed_Albatross", "002.Laysan_Albatross"),
    ("Boeing 707", "Cessna 172", "A300B4"),
    ("Élan", "naïve"),
    ("Straße", "smørrebrød"),
    ("кошка", "собака"),
    ("σκύλος", "γάτα"),
    ("كلب", "قط"),
    ("कुत्ता", "बिल्ली"),
    ("猫", "狗"),
    ("ねこ", "いぬ"),
    ("개", "고양이"),
]


@pytest.mark.parametrize("names", CODES, ids=lambda names: names[0])
def test_numbers_and_codes_are_found(names: tuple[str, ...]) -> None:
    assert not are_words(names)


@pytest.mark.parametrize("names", WORDS, ids=lambda names: names[0])
def test_words_of_any_script_are_words(names: tuple[str, ...]) -> None:
    assert are_words(names)


@pytest.mark.parametrize("name", CARDS)
def test_the_packaged_data_sets_have_words(name: str) -> None:
    assert are_words(card(name).classes)


def test_names_that_differ_in_a_number_for_most_classes_are_codes() -> None:
    """A text tower cannot tell train 1 from train 2."""
    assert not are_words([f"{kind} {i}" for kind in ("train", "bus") for i in range(30)])


@given(st.lists(st.text("0123456789abcdef", min_size=8, max_size=40), min_size=20, max_size=40))
def test_hashes_are_codes(names: list[str]) -> None:
    assert not are_words([f"0{name}9f0{name}" for name in names])


@given(st.text())
def test_any_text_has_words_or_none(name: str) -> None:
    assert all(word for word in words_of(name))
