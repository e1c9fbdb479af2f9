"""What a worker makes of a run that it cannot begin, or not end."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from hpc_xfer.compute.run_pack import PackRunner, ProcessSpent
from hpc_xfer.config.resources import Resources
from hpc_xfer.config.site import Site
from hpc_xfer.states.run_states import survey
from hpc_xfer.store import failures, heartbeat
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.pack_file import LoadedPack, read_pack
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Plan, Run
from hpc_xfer.system.job_environment import ProcessRank
from hpc_xfer.system.worker_events import WorkerEvent
from tests import tiny


def test_a_package_that_cannot_be_imported_is_an_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the node: a worker that died of it would be started on one node after another."""
    monkeypatch.setitem(sys.modules, "hpc_xfer.compute.pretraining.task", None)
    store, run = Store(tmp_path), tiny.pretraining("scratch")
    started, failed = tiny.execute(store, run)
    assert (started["event"], failed["event"], failed["class"]) == ("started", "failed", "code")
    error = failures.read(store.run(run.id))
    assert error is not None and "hpc_xfer.compute.pretraining.task" in error["message"]


def packed(store: Store, *runs: Run) -> str:
    """Write a pack as a launch does, with one recipe that no version can read; name the pack."""
    array = JobArray((Pack(runs, 1, 1),))
    store.open("test")
    path = store.write_manifest("test", array, tiny.FINETUNE.model_dump(mode="json"))
    content = json.loads(path.read_text())
    content["runs"][runs[0].id]["recipe"]["colour"] = "red"
    path.write_text(json.dumps(content))
    return f"{array.id}/0"


def test_a_run_whose_recipe_cannot_be_read_is_failed_not_lost_and_the_others_are_executed(
    tmp_path: Path,
) -> None:
    store, scratch = Store(tmp_path), tiny.pretraining("scratch")
    tiny.finished(store, scratch)
    unread, other = (tiny.finetuning(scratch, "knn", draw=draw) for draw in range(2))
    told: list[WorkerEvent] = []
    runner = PackRunner(store, Site(), ProcessRank(), tiny.StopAfter(99), told.append)
    runner.execute(read_pack(store, "test", packed(store, unread, other)))
    events = [json.loads(event.to_json()) for event in told]
    assert [(e["event"], e["run"]) for e in events] == [
        ("failed", unread.id), ("started", other.id), ("done", other.id)
    ]  # fmt: skip
    error = failures.read(store.run(unread.id))
    assert error is not None and error["class"] == "code"
    assert f"cannot read the recipe of run {unread.id}" in error["message"]
    plan = Plan((scratch, unread, other), Resources())
    states = survey(plan, store, read_ledger(store, "test"), None)
    assert [states[run.id].state for run in plan.runs] == ["done", "failed", "done"]


def test_a_run_that_cannot_be_claimed_is_failed_and_the_next_is_executed(tmp_path: Path) -> None:
    store, scratch = Store(tmp_path), tiny.pretraining("scratch")
    tiny.finished(store, scratch)
    blocked, other = (tiny.finetuning(scratch, "knn", draw=draw) for draw in range(2))
    folder = store.run(blocked.id)
    folder.path.mkdir()
    folder.claims.write_text("a file where a folder has to be")
    told: list[WorkerEvent] = []
    runner = PackRunner(store, Site(), ProcessRank(), tiny.StopAfter(99), told.append)
    runner.execute(LoadedPack("test", (blocked, other), tiny.FINETUNE))
    events = [json.loads(event.to_json()) for event in told]
    assert [(e["event"], e["run"]) for e in events][-1] == ("done", other.id)
    assert events[0]["event"] == "failed" and events[0]["run"] == blocked.id
    assert failures.read(folder) is not None


class Removes(tiny.StopAfter):
    """Never asks to stop; removes the folder of a run before the n-th step."""

    def __init__(self, folder: RunDir, step: int, is_claimed_anew: bool = False) -> None:
        super().__init__(step)
        self.folder, self.is_claimed_anew = folder, is_claimed_anew

    @property
    def requested(self) -> bool:
        self.looks -= 1
        if self.looks == 0:
            gone = self.folder.path.with_name("gone")
            self.folder.path.rename(gone)  # at once: a thread may write a checkpoint meanwhile
            shutil.rmtree(gone)
            if self.is_claimed_anew:
                assert run_claims.take(self.folder) is not None
        return False


@pytest.fixture(scope="module")
def sans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("shards") / "sans")


def runs_that_write_much(store: Store) -> list[Run]:
    """Metrics, TensorBoard, checkpoints, snapshots; measurements after each epoch; one result."""
    scratch = tiny.pretraining("scratch")
    tiny.finished(store, scratch)
    return [
        tiny.pretraining("supervised", snapshots=(128,)),
        tiny.finetuning(scratch, select="test"),
        tiny.head(scratch),
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard
# Seconds between heartbeats: the first to notice it, or none.
@pytest.mark.parametrize(("step", "seconds"), [(2, 1e9), (3, 0.0), (5, 1e9)])
def test_a_run_folder_that_is_removed_while_it_works_is_trouble_of_the_store(
    step: int, seconds: float, tmp_path: Path, sans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "WRITE_SECONDS", seconds)
    store = Store(tmp_path)
    for run in runs_that_write_much(store):
        folder = store.run(run.id)
        stop = Removes(folder, step)
        events = tiny.execute(store, run, sans, stop, log_steps=1, checkpoint_minutes=1e-9)
        assert (events[-1]["event"], events[-1]["class"]) == ("failed", "store"), events
        assert "was removed while this process worked" in events[-1]["message"]
        error = failures.read(folder)
        assert error is not None and error["class"] == "store"
        assert not folder.record.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # TensorBoard
def test_a_run_that_was_removed_and_taken_by_another_process_is_left_to_it(
    tmp_path: Path, sans: Path
) -> None:
    store = Store(tmp_path)
    for run in runs_that_write_much(store):
        folder = store.run(run.id)
        events = tiny.execute(store, run, sans, Removes(folder, 3, is_claimed_anew=True))
        assert events[-1]["event"] == "held", events
        assert failures.read(folder) is None and not folder.record.exists()


def test_a_run_without_the_gpu_that_was_given_is_recorded_and_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this process has its GPU already")
    monkeypatch.setenv("HPC_XFER_DEVICE", "cuda")
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    store, run = Store(tmp_path), tiny.pretraining("scratch")
    with pytest.raises(ProcessSpent):
        tiny.execute(store, run)
    error = failures.read(store.run(run.id))
    assert error is not None
    assert (error["class"], error["node"]) == ("no gpu", "n7")
    assert "given HPC_XFER_DEVICE=cuda" in error["message"]
    assert not store.run(run.id).record.exists() and not run_claims.is_alive(store.run(run.id))


def test_a_record_names_the_device(tmp_path: Path) -> None:
    folder = tiny.finished(Store(tmp_path), tiny.pretraining("scratch"))
    provenance = tiny.record(folder)["provenance"]
    assert (provenance["device"], provenance["gpu"]) == ("cpu", None)


def test_a_run_without_clipping_is_executed_and_recorded(tmp_path: Path, sans: Path) -> None:
    """As a launch hands it over: through the manifest, which used to say nothing of it."""
    store, run = Store(tmp_path), tiny.pretraining("supervised", grad_clip=None)
    array = JobArray((Pack((run,), 1, 1),))
    store.open("test")
    store.write_manifest("test", array, tiny.PRETRAIN.model_dump(mode="json"))
    (read,) = read_pack(store, "test", f"{array.id}/0").runs
    record = tiny.record(tiny.finished(store, read, sans))
    assert read.id == run.id and record["recipe"]["grad_clip"] is None
