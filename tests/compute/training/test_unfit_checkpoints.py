"""A checkpoint that does not fit its run is told and left out, and no attempt ends by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.resuming.saved_state import why_unfit
from hpc_xfer.compute.training.step import Stepper
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from tests import tiny
from tests.compute.training.test_loop import SCHEDULE, Layered, Noise

ALWAYS: dict[str, Any] = {"checkpoint_minutes": 1e-9}  # a checkpoint after each step but the last
SKIPPED = r"checkpoint(\.previous)?\.pt: does not fit this run \(.+\) and is skipped"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> RunDir:
    return tiny.finished(Store(tmp_path_factory.mktemp("store")), tiny.pretraining("clip"), shards)


def stopped(root: Path, shards: Path) -> RunDir:
    run = tiny.pretraining("clip")
    tiny.execute(Store(root), run, shards, stop=tiny.StopAfter(5), **ALWAYS)
    return Store(root).run(run.id)


def change(path: Path, how: Change) -> None:
    state = weights_file.read(path)
    assert state is not None
    how(state)
    weights_file.write(path, state)


def first_moment(state: dict[str, Any]) -> None:
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)


def other_tensor(state: dict[str, Any]) -> None:
    name = next(iter(state["objective"]))
    state["objective"][name] = torch.zeros(3)


def set_to(**values: Any) -> Change:
    return lambda state: state.update(values)


CHANGES: dict[str, Change] = {
    "empty": dict.clear,
    "a tensor is missing": lambda state: state["objective"].popitem(),
    "a tensor has another shape": other_tensor,
    "the model is a list": set_to(objective=[]),
    "a moment has another shape": first_moment,
    "an unknown parameter": lambda state: state["optimizer"]["state"].update({10**6: {}}),
    "no rates": lambda state: state["optimizer"]["param_groups"][0].pop("betas"),
    "fewer groups": lambda state: state["optimizer"]["param_groups"].pop(),
    "groups that are none": lambda state: state["optimizer"].update(param_groups=3),
    "a step beyond the end": set_to(step=10**9),
    "a step before the first": set_to(step=-1),
    "a step of another type": set_to(step="5"),
    "ranks of another type": set_to(worlds=[[0, "2"]]),
    "no ranks": set_to(worlds=[]),
    "other words for broken samples": set_to(broken={"code": 1}),
    "broken samples of another type": set_to(broken={"shards": {"a": "1"}, "examples": []}),
    "no losses": set_to(recent_losses=[], losses=[]),
    "losses of another type": set_to(recent_losses=[["1"]]),
    "endless time": set_to(seconds=float("inf")),
    "a number of 400 digits": set_to(waited=10**400),
}


@pytest.fixture
def stepper() -> Stepper:
    """A training of one layer after two steps."""
    model = Layered()
    optimizer = adamw(model, 1e-3, 0.1, (0.9, 0.98), 1e-8)
    made = Stepper(model, optimizer, SCHEDULE, World())
    for step in range(2):
        made.step(Noise().batch(step), step)
    return made


def saved(stepper: Stepper) -> dict[str, Any]:
    course = {"losses": [1.0], "recent_losses": [[1.0, 1.0]], "worlds": [[0, 1]]}
    broken: dict[str, Any] = {"shards": {}, "examples": []}
    times = {"seconds": 1.5, "waited": 0.0}
    return {"step": 2, **stepper.state_dict(), "broken": broken, **course, **times}


def test_a_checkpoint_of_its_own_fits_also_without_what_older_versions_lack(
    stepper: Stepper,
) -> None:
    state = saved(stepper)
    assert why_unfit(state, stepper, SCHEDULE.steps) is None
    del state["recent_losses"], state["scaler"]
    del state["optimizer"]["param_groups"][0]["decoupled_weight_decay"]
    assert why_unfit(state, stepper, SCHEDULE.steps) is None


@pytest.mark.parametrize("how", CHANGES.values(), ids=CHANGES)
def test_what_does_not_fit_is_seen_before_anything_is_loaded(how: Change, stepper: Stepper) -> None:
    state = saved(stepper)
    how(state)
    assert why_unfit(state, stepper, SCHEDULE.steps) is not None


@pytest.mark.parametrize("how", [dict.clear, first_moment])
def test_instead_of_a_checkpoint_that_does_not_fit_the_previous_one_is_used(
    how: Change, tmp_path: Path, shards: Path, undisturbed: RunDir
) -> None:
    folder = stopped(tmp_path, shards)
    change(folder.checkpoint, how)
    with pytest.warns(UserWarning, match=SKIPPED) as caught:
        tiny.finished(Store(tmp_path), tiny.pretraining("clip"), shards)
    assert len(caught) == 1
    assert tiny.same_weights(folder, undisturbed)


def test_where_no_checkpoint_fits_the_run_starts_again(
    tmp_path: Path, shards: Path, undisturbed: RunDir
) -> None:
    folder = stopped(tmp_path, shards)
    change(folder.checkpoint, dict.clear)
    change(folder.previous_checkpoint, other_tensor)
    with pytest.warns(UserWarning, match=SKIPPED) as caught:
        tiny.finished(Store(tmp_path), tiny.pretraining("clip"), shards)
    assert len(caught) == 2
    assert tiny.same_weights(folder, undisturbed)
