"""docs/grid.md is true: its grids are read, and it has every key."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config import finetune_recipes
from hpc_xfer.config.recipes import METHODS
from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.study.grid_blocks.block_keys import all_keys
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study

PAGE = (Path(__file__).parents[2] / "docs/grid.md").read_text(encoding="utf-8")
GRIDS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("grid", GRIDS, ids=[text.splitlines()[0] for text in GRIDS])
def test_each_grid_of_the_page_is_read(grid: str) -> None:
    assert make_plan(load_study(Path("grid.yaml"), grid)).runs


@pytest.mark.parametrize("kind", ["pretrain", "finetune", "resources"])
def test_each_key_has_a_row(kind: str) -> None:
    section = PAGE.split(f"\n## `{kind}`\n")[1].split("\n## ")[0]
    keys = {*PretrainResources.model_fields, *FinetuneResources.model_fields}
    keys = keys if kind == "resources" else set(all_keys(kind))
    assert {key for key in keys if f"`{key}`" not in section} == set()


FINETUNE = [finetune_recipes.finetune_class(mode) for mode in ("ft", "lp", "lp-ft", "knn")]


def defaults(kind: str) -> Iterator[tuple[str, Any]]:
    """Keys of a section with their defaults, where these are values and the same for all."""
    section = PAGE.split(f"\n## `{kind}`\n")[1].split("\n## ")[0]
    for row in re.findall(r"^\| (`[^|]*`) \|(.*)\|$", section, re.MULTILINE):
        keys = re.findall(r"`(\w+)`", row[0])
        cell = row[1].split("|")[0 if kind == "resources" else 1]
        cell = re.sub(r"`([\w-]+)`", r'"\1"', cell)
        try:
            values = json.loads(f"[{cell}]")
        except ValueError:  # in words, or with a value for some methods
            continue
        yield from zip(keys, values, strict=True) if len(values) == len(keys) else ()


@pytest.mark.parametrize(
    ("kind", "models"),
    [
        ("pretrain", list(METHODS.values())),
        ("finetune", FINETUNE),
        ("resources", [PretrainResources, FinetuneResources]),
    ],
)
def test_a_default_of_the_page_is_that_of_a_recipe(kind: str, models: list[type[Any]]) -> None:
    found = list(defaults(kind))
    assert len(found) > 8
    for key, value in found:
        known = [model.model_fields[key].default for model in models if key in model.model_fields]
        known = [each.scale if key == "crop" else each for each in known if each is not None]
        known = [json.loads(json.dumps(each)) for each in known]
        assert value in known or not known, (key, value, known)
