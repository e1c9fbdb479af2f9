"""The best of all epochs on the test set, and its bias."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.finetuning.batches import EpochBatches, FeatureBatches
from hpc_xfer.compute.finetuning.epoch_selection import EpochSelection
from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.compute.training.loop import LoopOptions, train
from hpc_xfer.compute.training.optimizer import adamw
from hpc_xfer.compute.training.step import Schedule
from hpc_xfer.errors import ClaimLost, Interrupted, StoreError
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from tests import tiny

TEN = torch.zeros(10, dtype=torch.int64)


@dataclass
class Scores:
    """Gives logits that are right for the next number of ten images, of each set."""

    right: dict[str, list[int]]
    model: nn.Module = field(default_factory=nn.Module)
    calls: int = 0

    def __call__(self) -> dict[str, Tensor]:
        assert not self.model.training
        now, self.calls = self.calls, self.calls + 1
        return {name: logits(counts[now]) for name, counts in self.right.items()}


def logits(right: int) -> Tensor:
    wrong = torch.arange(10) >= right
    return F.one_hot(wrong.long(), 2).float()


def never() -> None:
    """The claim is ours."""


def selected(
    folder: Path, scores: Scores, steps: Sequence[int] | None = None, select: str = "test"
) -> EpochSelection:
    """Call the hooks of these steps (None: all) of a training with an epoch every two steps."""
    labels = dict.fromkeys(scores.right, TEN)
    made = EpochSelection(scores.model, scores, labels, RunDir(folder), never, select)  # type: ignore[arg-type]
    for step, hooks in made.hooks(2, 2 * len(scores.right["test"])).items():
        if steps is None or step in steps:
            for hook in hooks:
                hook()
    return made


def test_the_best_epoch_on_the_test_set_is_compared_with_that_on_validation(
    tmp_path: Path,
) -> None:
    scores = Scores({"val": [5, 9, 7, 6], "test": [4, 6, 8, 8]})
    made = selected(tmp_path, scores)
    assert made.summary() == {
        "epochs_measured": 4,
        "best_epoch": 3,  # the first of two
        "test_top1_by_test": 0.8,
        "val_top1_by_val": 0.9,
        "test_top1_by_val": 0.6,
        "selection_bias": pytest.approx(0.2),
    }
    assert torch.equal(made.logits()["test"], logits(8))
    assert torch.equal(made.logits()["val"], logits(7))
    assert scores.model.training  # as before


def test_of_epochs_that_are_equal_on_validation_none_is_favored(tmp_path: Path) -> None:
    made = selected(tmp_path, Scores({"val": [9, 5, 9, 9], "test": [4, 8, 6, 8]}))
    assert made.summary()["test_top1_by_val"] == pytest.approx((0.4 + 0.6 + 0.8) / 3)


def test_without_validation_images_there_is_no_bias_to_tell(tmp_path: Path) -> None:
    made = selected(tmp_path, Scores({"test": [4, 8, 6]}))
    assert made.summary() == {"epochs_measured": 3, "best_epoch": 2, "test_top1_by_test": 0.8}


def test_the_best_epoch_may_be_chosen_on_validation(tmp_path: Path) -> None:
    made = selected(tmp_path, Scores({"val": [5, 9, 7], "test": [4, 6, 8]}), select="val")
    assert made.summary()["best_epoch"] == 2
    assert torch.equal(made.logits()["test"], logits(6))


def test_a_training_that_ends_within_an_epoch_is_measured_at_its_end(tmp_path: Path) -> None:
    made = EpochSelection(nn.Module(), dict, {"test": TEN}, RunDir(tmp_path), never)
    assert list(made.hooks(4, 10)) == [4, 8, 10]
    assert list(made.hooks(4, 8)) == [4, 8]
    assert list(made.hooks(4, 3)) == [3]


def test_hooks_give_rows_of_metrics(tmp_path: Path) -> None:
    scores = Scores({"val": [5], "test": [4]})
    made = EpochSelection(scores.model, scores, {"val": TEN, "test": TEN}, RunDir(tmp_path), never)
    ((hook,),) = made.hooks(2, 2).values()
    assert hook() == {"val_top1": 0.5, "test_top1": 0.4}


# After a stop.


def test_measured_epochs_are_not_measured_again(tmp_path: Path) -> None:
    """An attempt has measured three epochs; the next one goes on from the second."""
    right = {"val": [5, 9, 7, 6], "test": [4, 9, 8, 8]}
    selected(tmp_path, Scores(right), steps=[2, 4, 6])
    RunDir(tmp_path).checkpoint.write_bytes(b"of step 4")
    later = Scores({name: [*counts[3:], 0, 0, 0] for name, counts in right.items()})
    made = selected(tmp_path, later, steps=[6, 8])
    assert later.calls == 1
    assert made.summary() == selected(tmp_path / "undisturbed", Scores(right)).summary()
    assert torch.equal(made.logits()["test"], logits(9))  # of the earlier attempt


def test_a_run_that_starts_again_measures_again(tmp_path: Path) -> None:
    selected(tmp_path, Scores({"test": [9, 9, 9]}))
    again = Scores({"test": [4, 5, 6]})
    assert selected(tmp_path, again).summary()["test_top1_by_test"] == 0.6
    assert again.calls == 3


def test_with_a_damaged_file_the_run_starts_again(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    selected(tmp_path, Scores({"test": [9, 9, 9]}), steps=[2, 4])
    run.checkpoint.write_bytes(b"of step 4")
    run.previous_checkpoint.write_bytes(b"of step 3")
    os.truncate(run.epochs, run.epochs.stat().st_size // 2)
    with pytest.warns(UserWarning, match=r"epochs\.pt: is damaged"):
        made = selected(tmp_path, Scores({"test": [4, 5, 6]}))
    assert not run.checkpoint.exists() and not run.previous_checkpoint.exists()
    assert made.summary()["epochs_measured"] == 3


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"rows": {2: {"test": "1"}}, "best": {"test": logits(9)}},
        {"rows": {2: {"val": 0.5}}, "best": {"val": logits(9)}},
        {"rows": {2: {"test": 0.5}}, "best": {"test": logits(9)[:3]}},
        {"rows": {2: {"test": 0.5}}, "best": {}},
        {"rows": [], "best": {"test": 3}},
    ],
)
def test_with_a_file_that_holds_something_else_the_run_starts_again(
    content: dict[str, object], tmp_path: Path
) -> None:
    run = RunDir(tmp_path)
    weights_file.write(run.epochs, content)
    run.checkpoint.write_bytes(b"of step 4")
    made = selected(tmp_path, Scores({"test": [4, 5, 6]}))
    assert not run.checkpoint.exists()
    assert made.summary()["epochs_measured"] == 3


def test_an_epoch_without_measurement_is_an_error(tmp_path: Path) -> None:
    made = selected(tmp_path, Scores({"test": [9, 9, 9]}), steps=[4, 6])
    with pytest.raises(StoreError, match=r"has no measurement after step 2; delete checkpoint\.pt"):
        made.summary()
    with pytest.raises(StoreError, match="no measurement after step 2"):
        made.logits()


def test_a_process_that_lost_the_claim_writes_nothing(tmp_path: Path) -> None:
    def lost() -> None:
        raise ClaimLost("another process has taken this over")

    scores = Scores({"test": [9]})
    made = EpochSelection(scores.model, scores, {"test": TEN}, RunDir(tmp_path), lost)
    ((hook,),) = made.hooks(2, 2).values()
    with pytest.raises(ClaimLost):
        hook()
    assert not RunDir(tmp_path).epochs.exists()


# In the training loop.


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(self.head(batch["features"]), batch["labels"])


def points(n: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 4, generator=generator)
    noisy = features[:, :3] + torch.randn(n, 3, generator=generator)
    return features, noisy.argmax(dim=1)


def trained(run: RunDir, stop: StopSignal) -> tuple[EpochSelection, Linear]:
    """Seven epochs of 20 points in batches of 8, of which the floor of 25 steps makes nine."""
    claim = run_claims.take(run)
    assert claim is not None
    model, (features, labels) = Linear(), points(20, 0)
    sets = {"val": points(12, 1), "test": points(200, 2)}

    def measure() -> dict[str, Tensor]:
        return {name: model.head(x) for name, (x, _) in sets.items()}

    answers = {name: y for name, (_, y) in sets.items()}
    selection = EpochSelection(model, measure, answers, run, claim.check)
    epochs = EpochBatches(len(labels), 8, 7, (0,))
    steps = max(epochs.steps, 25)
    try:
        train(
            model,
            adamw(model, 0.05, 0.1, (0.9, 0.999), 1e-8),
            FeatureBatches(features, labels, epochs),
            Schedule(steps, 8, 0.05, warmup_steps=2, grad_clip=None, precision="fp32"),
            LoopOptions(checkpoint_seconds=1e-9),
            run,
            Checkpoints(run, claim),
            World(),
            stop,
            at=selection.hooks(epochs.steps_per_epoch, steps),
        )
    finally:
        claim.release()
    return selection, model


def test_a_run_stopped_at_any_step_chooses_the_same_epoch(tmp_path: Path) -> None:
    whole, model = trained(Store(tmp_path).run("whole"), StopSignal())
    assert whole.summary()["epochs_measured"] == 9  # the last one has one step
    for steps in (3, 10):
        run = Store(tmp_path).run(f"stopped{steps}")
        for _ in range(2):
            with pytest.raises(Interrupted):
                trained(run, tiny.StopAfter(steps))
        resumed, same = trained(run, StopSignal())
        assert resumed.summary() == whole.summary()
        assert all(torch.equal(resumed.logits()[name], whole.logits()[name]) for name in ("test",))
        assert torch.equal(model.head.weight, same.head.weight)
        assert run.metrics.read_text().count("test_top1") == 9
        run.remove_checkpoints()
        assert not run.epochs.exists()


def test_batches_go_on_beyond_the_epochs_asked() -> None:
    """A floor of steps makes more epochs: each has an order of its own."""
    epochs = EpochBatches(5, 3, 1, (0,))
    assert epochs.steps == 2
    seen = [epochs.at(step) for step in range(6)]
    assert [epoch for epoch, _ in seen] == [0, 0, 1, 1, 2, 2]
    orders = [[*seen[i][1], *seen[i + 1][1]] for i in (0, 2, 4)]
    assert [sorted(order) for order in orders] == [[0, 1, 2, 3, 4]] * 3
    assert orders[0] != orders[1] != orders[2]
