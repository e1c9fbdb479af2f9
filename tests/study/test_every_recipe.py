"""Every recipe that a grid can express survives writing, reading and naming."""

import contextlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_xfer.config.finetune_recipes import MODES, SOLVERS, Finetune, finetune_class
from hpc_xfer.config.recipes import METHODS, Architecture, Pretrain
from hpc_xfer.errors import StudyError
from hpc_xfer.reporting.tensorboard.board_run import file_names
from hpc_xfer.store.pack_file import read_run
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.labels import RunTitles
from hpc_xfer.study.plan import Plan, Run, make_plan, restore_run
from hpc_xfer.study.study_file import load_study
from tests.study.any_recipe import architectures, block_of, blocks_of, settings_of

FINETUNES = {finetune_class(mode, solver) for mode in MODES for solver in SOLVERS}
CLASSES = [*METHODS.values(), *sorted(FINETUNES, key=lambda cls: cls.__name__)]
PARENT = {"method": "clip", "arch": "RN50", "source": "a b", "samples": 5000, "samples_seen": 5000}


@contextlib.contextmanager
def study(blocks: list[dict[str, Any]]) -> Iterator[tuple[Plan, Path]]:
    """Plan a study of these blocks from the text of its grid; yield its folder too."""
    grid: dict[str, Any] = {"name": "any", "pretrain": blocks}
    if "datasets" in blocks[0]:
        grid |= {"pretrain": [PARENT], "finetune": blocks}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.yaml"
        path.write_text(yaml.safe_dump(grid, allow_unicode=True), encoding="utf-8")
        yield make_plan(load_study(path)), Path(folder)


def accepted(blocks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the blocks that a grid refuses, alone or beside the ones before."""
    kept: list[dict[str, Any]] = []
    for block in blocks:
        with contextlib.suppress(StudyError), study([*kept, block]):
            kept.append(block)
    return kept


def assert_survive(blocks: list[dict[str, Any]]) -> None:
    if blocks:
        with study(blocks) as (plan, folder):
            assert_survives(plan, folder)


def same_recipe(one: Run, two: Run) -> bool:
    """Compare all but the name of a model file, which is no part of the recipe."""
    a, b = (
        run.recipe.model_copy(update={"arch": run.recipe.arch.model_copy(update={"name": ""})})
        if isinstance(run.recipe, Pretrain) and isinstance(run.recipe.arch, Architecture)
        else run.recipe
        for run in (one, two)
    )
    return type(a) is type(b) and a == b


def assert_survives(plan: Plan, folder: Path) -> None:
    """Write every run as a launch and a worker do, read it back, and name it."""
    store = Store(folder / "store")
    store.open("any")
    for array in cut_into_arrays(plan):
        manifest = json.loads(json.dumps(array.manifest({})))
        for run in array.runs:
            again = read_run(manifest, run.id)  # which compares the ids
            assert same_recipe(run, again)
            store.write_recipe(again)
            written = json.loads(store.run(run.id).recipe.read_text())["recipe"]
            assert restore_run(run.kind, written, run.parents).id == run.id
            assert all(value not in (None, "") for value in run.columns.values())
    titles = RunTitles(plan)
    names = [titles.of(run) for run in plan.runs]
    assert len(set(names)) == len(names)
    for name in file_names(names).values():
        assert re.fullmatch(r"[\w.=+#-]+", name) and len(name.encode()) < 120


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_recipe_survives_writing_reading_and_naming(
    cls: type[Pretrain | Finetune],
) -> None:
    @settings(max_examples=40)
    @given(st.lists(blocks_of(cls), min_size=1, max_size=3))
    def holds(blocks: list[dict[str, Any]]) -> None:
        assert_survive(accepted(blocks))

    holds()


def values_accepted(cls: type[Pretrain | Finetune], added: st.SearchStrategy[Any]) -> int:
    """Write, read and name studies that vary one setting; count the values that grids accept."""
    count = 0

    @settings(max_examples=3)
    @given(st.lists(added.map(lambda more: block_of(cls) | more), min_size=2, max_size=3))
    def holds(blocks: list[dict[str, Any]]) -> None:
        nonlocal count
        kept = accepted(blocks)
        assert_survive(kept)
        count += len(kept)

    holds()
    return count


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_setting_tells_the_runs_of_a_study_apart(cls: type[Pretrain | Finetune]) -> None:
    untested = {key for key, added in settings_of(cls).items() if not values_accepted(cls, added)}
    assert not untested, "no value was accepted; add what it needs to BESIDE"


@settings(max_examples=40)
@given(architectures())
def test_every_model_file_survives_writing_and_reading(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.json").write_text(json.dumps(content))
        grid = Path(folder) / "grid.yaml"
        grid.write_text("name: any\npretrain: [{method: scratch, arch: model.json}]\n")
        assert_survives(make_plan(load_study(grid)), Path(folder))
