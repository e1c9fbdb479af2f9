"""Captions and labels: where they come from, and what is none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.pretraining import targets
from hpc_xfer.compute.pretraining.batches import TrainBatches
from hpc_xfer.compute.shards.sample_order import SampleOrder
from hpc_xfer.compute.shards.subsets.subset import Subset
from hpc_xfer.config.recipes import Trained
from hpc_xfer.errors import DataError
from tests import tiny
from tests.compute.pretraining.tar_shards import Sample, png, recipe_of
from tests.compute.shard_tools.making import write_shards


def with_json(i: int) -> Sample:
    content = {"title": f"title {i}", "tags": ["a", "b"], "empty": " ", "kind": str(i % 16)}
    return {"png": png(i), "json": json.dumps({**content, "number": i % 16}).encode()}


def reading(tmp_path: Path, recipe: Trained, classes: list[str] | None) -> list[Any]:
    """What the recipe takes besides the images of one epoch, with the level of each image."""
    index = write_shards(tmp_path, map(with_json, range(32)), classes, per_shard=24)
    order = SampleOrder(Subset.draw([24, 8], 32, 0), 16, 0)
    captions: list[str] = []

    def tokenize(texts: list[str]) -> torch.Tensor:
        captions.extend(texts)
        return torch.zeros(len(texts), 8, dtype=torch.long)

    data = TrainBatches(index, order, recipe, 32, tokenize=tokenize)
    epoch = [data[step] for step in range(2)]
    levels = [int(level) for batch in epoch for level in batch["images"][:, 0, 16, 16]]
    told: list[Any] = captions or [int(label) for batch in epoch for label in batch["labels"]]
    assert all(batch["broken"] == [] for batch in epoch)
    return list(zip(levels, told, strict=True))


def test_captions_come_from_keys_of_the_json(tmp_path: Path) -> None:
    recipe = recipe_of("clip", caption={"keys": ("title", "missing", "empty", "tags")})
    assert all(text == f"title {level} a b" for level, text in reading(tmp_path, recipe, None))


def test_captions_come_from_templates_over_class_names(tmp_path: Path) -> None:
    names = [f"thing {i}" for i in range(16)]
    templates = ("a photo of {}.", "{}, drawn")
    recipe = recipe_of("clip", caption={"templates": templates}, label="number")
    told = reading(tmp_path, recipe, names)
    assert all(text in [t.replace("{}", f"thing {n % 16}") for t in templates] for n, text in told)
    assert {text.startswith("a photo") for _, text in told} == {True, False}


@pytest.mark.parametrize("key", ["number", "kind"])
def test_labels_come_from_the_json_as_numbers_or_names(key: str, tmp_path: Path) -> None:
    recipe = recipe_of("supervised", label=key)
    told = reading(tmp_path, recipe, [str(i) for i in range(16)])
    assert all(label == level % 16 for level, label in told)


@pytest.mark.parametrize("caption", [{}, {"keys": ("a",), "templates": ("{}",)}])
def test_captions_come_from_one_place(caption: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either keys"):
        recipe_of("clip", caption=caption)


def test_a_template_says_where_the_class_goes() -> None:
    with pytest.raises(ValueError, match="once, where the class name goes"):
        recipe_of("clip", caption={"templates": ("a photo",)})


CAPTIONS = {
    b'{"title": 1984}': "1984",
    b'{"title": 2.5, "tags": [3, "b"]}': "2.5 3 b",
    b'{"title": [["a", ["b"]], "c"]}': "a b c",
    b'{"title": "None", "tags": ["x", null, NaN, true, "n/a"]}': "x",
}


@pytest.mark.parametrize(("content", "text"), CAPTIONS.items(), ids=range(len(CAPTIONS)))
def test_numbers_and_lists_in_the_json_are_captions(content: bytes, text: str) -> None:
    caption = targets.target_reader(
        recipe_of("clip", caption={"keys": ("title", "tags")}), "sans", ()
    )
    assert caption({"json": content}, np.random.default_rng(0)) == text


def test_a_caption_that_begins_with_a_mark_of_windows_is_read_without_it() -> None:
    read = targets.target_reader(recipe_of("clip"), "sans", ())
    assert read({"txt": b"\xef\xbb\xbfa cat\r\n"}, np.random.default_rng(0)) == "a cat"


def test_labels_with_spaces_and_line_ends_are_numbers() -> None:
    read = targets.target_reader(recipe_of("supervised"), "sans", ["a", "b", "c", "d"])
    values = [read({"cls": data}, np.random.default_rng(0)) for data in (b" 3\n", b"\xef\xbb\xbf2")]
    assert values == [3, 2]


NO_CAPTION = {
    b'{"title": true}': "has no caption (json: title, tags)",
    b'{"title": {"en": "a cat"}}': "has no caption (json: title, tags)",
    b'{"title": "NaN", "tags": "N/A"}': "has no caption (json: title, tags)",
    b'{"tags": []}': "has no caption (json: title, tags)",
    b'{"title": NaN}': "has no caption (json: title, tags)",
    b"[1]": "its json is not an object of keys and values",
    b'{"title": "cut': "its json cannot be read",
    b"[" * 100_000: "its json cannot be read",  # deeper than Python goes
    b'{"title": ' + b"9" * 5000 + b"}": "its json cannot be read",
    b"\xff\xfe\x00": "its json cannot be read",
}


@pytest.mark.parametrize(("content", "why"), NO_CAPTION.items(), ids=range(len(NO_CAPTION)))
def test_a_json_without_a_caption_is_a_broken_sample(content: bytes, why: str) -> None:
    caption = targets.target_reader(
        recipe_of("clip", caption={"keys": ("title", "tags")}), "sans", ()
    )
    with pytest.raises(DataError) as caught:
        caption({"json": content}, np.random.default_rng(0))
    assert str(caught.value).startswith(why)


def test_half_of_a_character_in_a_json_is_no_end_of_a_run() -> None:
    """Scraped captions are often cut inside of an emoji."""
    recipe = recipe_of("clip", caption={"keys": ("title",)})
    sample = {"json": b'{"title": "cafe \\ud83d"}'}
    text = targets.target_reader(recipe, "sans", ())(sample, np.random.default_rng(0))
    assert encoders.tokenizer(tiny.ARCH)([text]).shape == (1, 8)
