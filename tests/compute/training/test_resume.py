"""A run that was stopped or killed anywhere ends bit for bit like an undisturbed one."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hpc_xfer.compute.distributed.stop_signal import StopSignal
from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.run_pack import PackRunner
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.config.site import Site
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.pack_file import LoadedPack
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.worker_events import WorkerEvent
from tests import tiny
from tests.compute.training.stopping import ALWAYS, a, stopped
from tests.waiting import wait_for

KINDS = ("clip", "simclr", "supervised", "ft", "lp")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Store:
    """One run of each kind, executed without a stop."""
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    for kind in KINDS:
        prepare(store, a(kind), shards)
        tiny.finished(store, a(kind), shards)
    return store


def prepare(store: Store, run: Run, shards: Path) -> None:
    for parent in run.parents:
        if not store.is_done(parent):
            tiny.finished(store, parent, shards)


def assert_same(one: Store, two: Store, run: Run) -> None:
    """Compare results, products and curves of a run in two stores."""
    a, b = one.run(run.id), two.run(run.id)
    assert tiny.result(a) == tiny.result(b)
    assert tiny.losses(a) == tiny.losses(b)
    if run.kind == "pretrain":
        assert tiny.same_weights(a, b)
    else:
        assert a.hits.read_bytes() == b.hits.read_bytes()
    for store in (one, two):
        names = {path.name for path in store.run(run.id).path.iterdir()}
        kept = {"recipe.json", "claims", "progress.json", "metrics.jsonl", "record.json"}
        assert names - kept <= {"encoder.pt", "encoder.safetensors", "tb", "hits.npy"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_at_any_step_ends_the_same(
    kind: str, tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    store, run, points = Store(tmp_path), a(kind), random.Random(kind)
    prepare(store, run, shards)
    for stops in range(1, 4):
        looks = points.randrange(2)
        events = tiny.execute(store, run, shards, stop=tiny.StopAfter(1 + looks))
        assert [event["event"] for event in events] == ["started", "interrupted"]
        assert not store.run(run.id).record.exists()
        assert run_claims.attempts(store.run(run.id)) == stops
    tiny.finished(store, run, shards)
    assert tiny.record(store.run(run.id))["provenance"]["attempt"] == 4
    assert_same(undisturbed, store, run)


def test_a_checkpoint_of_an_older_version_is_gone_on_from(tmp_path: Path, shards: Path) -> None:
    """It has one running mean per rank, and no list of the last losses."""
    store, run = Store(tmp_path), a("simclr")
    tiny.execute(store, run, shards, stop=tiny.StopAfter(4))
    path = store.run(run.id).checkpoint
    state = weights_file.read(path)
    assert state is not None and len(state.pop("recent_losses")) == len(state["losses"]) == 1
    weights_file.write(path, state)
    folder = tiny.finished(store, run, shards)
    assert tiny.record(folder)["provenance"]["attempt"] == 2


def work(root: Path, run: Run, shards: Path, resources: dict[str, Any]) -> None:
    tiny.execute(Store(root), run, shards, **resources)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_at_any_moment_ends_the_same(
    kind: str, tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    store, run, moments = Store(tmp_path), a(kind), random.Random(kind)
    prepare(store, run, shards)
    folder = store.run(run.id)
    for _ in range(3):
        before, later = mark(folder), moments.uniform(0, 0.05)
        process = tiny.child(work, tmp_path, run, shards, ALWAYS)
        wait_for(lambda: mark(folder) != before or not process.is_alive())  # noqa: B023
        process.join(later)
        process.kill()  # if it has not come to its end by then
        process.join()
    if not store.is_done(run):
        assert Checkpoints(folder, None).load() is not None  # whole, whenever it was
        tiny.finished(store, run, shards)
    assert_same(undisturbed, store, run)


def test_a_checkpoint_stays_until_the_record_is_on_disk(tmp_path: Path, shards: Path) -> None:
    """The records of small runs are written together, and one may have gone on for hours before."""
    store, run = Store(tmp_path), a("lp")
    other = tiny.head(run.parents[0], epochs=4, draw=1)
    prepare(store, run, shards)
    folder, seen = stopped(tmp_path, run, shards), []
    store.write_recipe(other)

    def look(event: WorkerEvent) -> None:
        if (event.kind, event.run) == ("started", other.id):
            seen.append((folder.record.exists(), folder.checkpoint.exists()))

    runner = PackRunner(store, Site(), ProcessRank(), StopSignal(), look)
    runner.execute(LoadedPack("test", (run, other), tiny.FINETUNE))
    assert seen in ([(False, True)], [(True, False)])  # the latter where the run took seconds
    assert folder.record.exists() and not folder.checkpoint.exists()


def mark(folder: RunDir) -> int | None:
    """Changes with each checkpoint."""
    try:
        return folder.checkpoint.stat().st_mtime_ns
    except FileNotFoundError:
        return None


# Damaged checkpoints.


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, flip_a_byte])
def test_instead_of_a_damaged_checkpoint_the_previous_one_is_used(
    damage: Any, tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    run = a("supervised")
    folder = stopped(tmp_path, run, shards)
    damage(folder.checkpoint)
    with pytest.warns(UserWarning, match=r"checkpoint\.pt: is damaged \(.+\) and skipped"):
        tiny.finished(Store(tmp_path), run, shards)
    assert_same(undisturbed, Store(tmp_path), run)


def test_with_both_checkpoints_damaged_a_run_starts_again(
    tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    run = a("supervised")
    folder = stopped(tmp_path, run, shards)
    truncate(folder.checkpoint)
    flip_a_byte(folder.previous_checkpoint)
    with pytest.warns(UserWarning) as caught:
        tiny.finished(Store(tmp_path), run, shards)
    assert len(caught) == 2
    assert_same(undisturbed, Store(tmp_path), run)


def test_after_a_kill_between_the_two_renames_the_previous_checkpoint_is_used(
    tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    run = a("supervised")
    folder = stopped(tmp_path, run, shards)
    folder.checkpoint.replace(folder.previous_checkpoint)
    tiny.finished(Store(tmp_path), run, shards)
    assert_same(undisturbed, Store(tmp_path), run)


# The curves.


def test_the_curves_of_a_resumed_run_have_each_step_once(tmp_path: Path, shards: Path) -> None:
    """A run that is killed after its last checkpoint repeats some logged steps."""
    run = a("supervised")
    store, folder = Store(tmp_path), Store(tmp_path).run(a("supervised").id)
    tiny.execute(store, run, shards, stop=tiny.StopAfter(2))
    kept = folder.checkpoint.read_bytes()
    tiny.execute(store, run, shards, stop=tiny.StopAfter(3))
    folder.checkpoint.write_bytes(kept)
    with folder.metrics.open("a") as file:
        file.write('{"step": 8, "lo')  # cut by the kill
    tiny.finished(store, run, shards)
    assert [step for step, _ in tiny.losses(folder)] == [2, 4, 6, 8]
    last = json.loads(folder.metrics.read_text().splitlines()[-1])
    assert last.keys() == {
        *("step", "samples", "loss", "lr", "gradient_norm", "data_wait", "model_tflops"),
        *("samples_per_second", "samples_per_second_per_gpu"),
    }  # clip adds the logit scale; a GPU adds its memory and, if known, its utilization
    assert last["samples"] == 256

    board = EventAccumulator(str(folder.tensorboard))
    board.Reload()
    points = board.Scalars("train, by samples/loss")
    assert [point.step for point in points] == [64, 128, 192, 256]  # batches of 32
    shown = [point.value for point in points]
    assert shown == pytest.approx([loss for _, loss in tiny.losses(folder)])


def test_a_run_shorter_than_the_logging_interval_has_its_last_row(
    tmp_path: Path, shards: Path
) -> None:
    folder = tiny.finished(Store(tmp_path), a("supervised"), shards, log_steps=1000)
    assert [step for step, _ in tiny.losses(folder)] == [8]


# What a process does besides.


def test_training_leaves_the_random_state_of_its_process_alone(
    tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    """Nor does it depend on it: a worker executes many runs, in any order."""
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    stopped(tmp_path, a("simclr"), shards)
    assert torch.equal(before, torch.get_rng_state())
    tiny.finished(Store(tmp_path), a("simclr"), shards)
    assert torch.equal(before, torch.get_rng_state())
    assert_same(undisturbed, Store(tmp_path), a("simclr"))


def test_dropout_is_the_same_in_a_resumed_run(tmp_path: Path, shards: Path) -> None:
    vit = {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}
    arch = tiny.ARCH.model_copy(update={"vision_cfg": {**vit, "patch_dropout": 0.5}})
    run = tiny.pretraining("supervised", arch=arch)
    one = tiny.finished(Store(tmp_path / "one"), run, shards)
    torch.rand(17)  # something else went on in the second process
    stopped(tmp_path / "two", run, shards)
    torch.rand(5)
    two = tiny.finished(Store(tmp_path / "two"), run, shards)
    assert tiny.same_weights(one, two)


def test_loader_processes_change_nothing_and_end_with_the_run(
    tmp_path: Path, shards: Path, undisturbed: Store
) -> None:
    run = a("clip")
    process = tiny.child(stop_and_count, tmp_path, run, shards)
    assert tiny.join([process]) == [0]
    assert_same(undisturbed, Store(tmp_path), run)


def stop_and_count(root: Path, run: Run, shards: Path) -> None:
    """Stop with a full queue of batches, then resume to the end; no process is left behind."""
    stop = tiny.StopAfter(2)
    assert (
        tiny.execute(Store(root), run, shards, stop=stop, workers=2)[-1]["event"] == "interrupted"
    )
    assert processes_below(os.getpid()) == []
    tiny.finished(Store(root), run, shards, workers=1)
    assert processes_below(os.getpid()) == []


def processes_below(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
