"""docs/grid.md is true: its grids are read, and it has every key."""

import re
from pathlib import Path

import pytest

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
