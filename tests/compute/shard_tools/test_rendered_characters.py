"""Printed characters: the same whenever and wherever they are drawn, balanced, and legible."""

import io
import unicodedata
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from hpc_xfer.compute.shard_tools.rendered_characters import (
    SOURCES,
    CharacterSamples,
    caption,
    characters,
    render,
)
from hpc_xfer.errors import StudyError


@pytest.mark.parametrize("source", SOURCES)
def test_drawing_twice_gives_the_same_bytes(source: str) -> None:
    assert list(render(source, 20, classes=15)) == list(render(source, 20, classes=15))


def test_a_sample_does_not_depend_on_those_before_it() -> None:
    row = list(render("serif", 25, classes=10, seed=3))
    assert CharacterSamples("serif", classes=10, seed=3).sample(24) == row[24]
    assert list(islice(render("serif", 999, classes=10, seed=3), 25)) == row


def test_every_block_shows_each_class_once_in_another_order() -> None:
    row = CharacterSamples("sans", classes=50)
    blocks = [[row.label(i) for i in range(k, k + 50)] for k in (0, 50, 100)]
    assert [sorted(block) for block in blocks] == [list(range(50))] * 3
    assert blocks[0] != blocks[1] != blocks[2] != list(range(50))


def test_any_prefix_is_balanced() -> None:
    labels = [int(sample["cls"]) for sample in render("mono", 137, classes=20)]
    counts = Counter(labels)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_another_seed_gives_other_images() -> None:
    first, second = (next(render("sans", 1, classes=10, seed=seed)) for seed in (0, 1))
    assert first["png"] != second["png"]


def test_more_classes_contain_fewer() -> None:
    assert characters("sans", 400)[:62] == characters("sans", 62)
    assert "".join(characters("sans", 16)) == "0123456789ABCDEF"
    assert len(set(characters("sans", 2000))) == 2000


def test_three_sources_differ_in_style_only() -> None:
    assert characters("sans", 400) == characters("serif", 400) == characters("mono", 400)
    sans, serif = (next(render(source, 1, classes=400)) for source in ("sans", "serif"))
    assert (sans["cls"], sans["txt"]) == (serif["cls"], serif["txt"])
    assert sans["png"] != serif["png"]


def test_symbols_show_no_letters_or_digits() -> None:
    kinds = {unicodedata.category(character)[0] for character in characters("symbols", 1000)}
    assert kinds == {"S"}


def test_captions_are_unicode_names() -> None:
    assert [caption(c) for c in "0Aé→"] == [
        "digit zero",
        "latin capital letter a",
        "latin small letter e with acute",
        "rightwards arrow",
    ]
    sample = next(render("sans", 1, classes=1))
    assert (sample["cls"], sample["txt"]) == (b"0", b"digit zero")


def test_characters_that_look_alike_are_one_class() -> None:
    assert not {"Α", "А"} & set(characters("sans", 1000))  # noqa: RUF001 (Greek and Cyrillic A)


@pytest.mark.parametrize("size", [8, 32, 48])
def test_images_have_the_size_that_was_asked(size: int) -> None:
    sample = next(render("sans", 1, classes=10, size=size))
    image = Image.open(io.BytesIO(sample["png"]))
    assert (image.size, image.mode) == ((size, size), "L")


def test_strokes_are_lighter_than_the_ground_and_stay_inside() -> None:
    row = CharacterSamples("sans", classes=10)
    for i in range(200):
        pixels = row.pixels(i).astype(float)
        border = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
        inside = pixels[8:-8, 4:-4]
        assert inside.max() > 140
        assert np.median(border) < 90 < np.percentile(pixels, 98)


def test_the_classes_can_be_told_apart() -> None:
    """Even by comparing pixel with pixel, which slant and shift make hard: 82%, chance is 10%."""
    row = CharacterSamples("serif", classes=10)
    images = np.stack([row.pixels(i).ravel() for i in range(1100)]).astype(np.float32)
    images -= images.mean(axis=1, keepdims=True)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    labels = np.array([row.label(i) for i in range(1100)])
    nearest = (images[1000:] @ images[:1000].T).argmax(axis=1)
    assert (labels[nearest] == labels[1000:]).mean() > 0.7


def test_an_unknown_source_lists_the_known() -> None:
    with pytest.raises(StudyError) as caught:
        render("comic", 1, classes=10)
    assert str(caught.value) == ("source 'comic' is unknown; there are sans, serif, mono, symbols")


@pytest.mark.parametrize("classes", [0, 100_000])
def test_more_classes_than_characters_are_refused(classes: int) -> None:
    with pytest.raises(StudyError, match=r"has [12],\d{3} characters, .* classes were asked"):
        render("sans", 1, classes=classes)
