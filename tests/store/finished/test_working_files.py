"""What a finished fine-tuning leaves: few files, and none lost by a crash while the rest goes."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.errors import ClaimLost
from hpc_xfer.store.finished.working_files import remove_working_files
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.run_claims import Claim
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system import atomic_files
from tests.fabricated import ONE_CELL, make, record


def worked_on(store: Store, run: Run) -> Claim:
    """A run on which a process works: claimed twice, with all that a fine-tuning writes."""
    folder = store.run(run.id)
    store.write_recipe(run)
    first = run_claims.take(folder)
    assert first is not None
    first.release()
    claim = run_claims.take(folder)
    assert claim is not None
    for path in (folder.progress, folder.checkpoint, folder.metrics, folder.hits):
        path.write_text("{}")
    return claim


def names(folder: RunDir) -> set[str]:
    return {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*")}


def test_a_finished_fine_tuning_leaves_three_files(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    worked_on(store, run)
    record(store, run)
    remove_working_files(store.run(run.id))
    assert names(store.run(run.id)) == {"record.json", "hits.npy", "metrics.jsonl"}


def test_a_finished_pre_training_keeps_all_but_its_checkpoints(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("pretrain")[0]
    worked_on(store, run)
    record(store, run)
    store.run(run.id).encoder.touch()
    before = names(store.run(run.id))
    remove_working_files(store.run(run.id))
    assert names(store.run(run.id)) == before - {"checkpoint.pt"}


def killed_at(removal: int, folder: RunDir) -> bool:
    """Remove in another process, which is killed at its n-th removal; False once it has fewer."""
    child = os.fork()
    if child == 0:
        left = [removal]

        def hear(event: str, _: tuple[Any, ...]) -> None:
            if event in ("os.remove", "os.rmdir"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hear)
        remove_working_files(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_crash_at_any_removal_loses_nothing(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    folder = store.run(run.id)
    removal = 0
    while True:
        removal += 1
        worked_on(store, run)
        record(store, run)
        was_killed = killed_at(removal, folder)
        assert store.is_done(run)
        assert {"record.json", "hits.npy", "metrics.jsonl"} <= names(folder)
        remove_working_files(folder)  # as the next process that comes to the run
        assert names(folder) == {"record.json", "hits.npy", "metrics.jsonl"}
        folder.record.unlink()
        if not was_killed:
            break
    assert removal > 6


def test_a_late_writer_finds_that_another_process_has_finished(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    late = worked_on(store, run)
    record(store, run)  # of another process, which thought the first one dead
    remove_working_files(store.run(run.id))
    with pytest.raises(ClaimLost, match="another process has finished it"):
        late.check()


def test_a_record_names_the_jobs_that_its_claims_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay counts the jobs that began a run of a pack, also when that run is done."""
    _, plan, store = make(tmp_path, ONE_CELL)
    run = plan.of("finetune")[0]
    folder = store.run(run.id)
    for job in ("7", "8"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv("SLURM_JOB_NAME", "ft.one")
        claim = run_claims.take(folder)
        assert claim is not None
        claim.release()
    record(store, run)
    content = store.record(run.id)
    assert content is not None
    content["provenance"]["jobs"] = run_claims.started_in(folder)
    atomic_files.write_json(folder.record, content)
    assert run_claims.jobs(folder, "ft.one") == {"7", "8"}
    remove_working_files(folder)
    assert run_claims.jobs(folder, "ft.one") == {"7", "8"}
    assert run_claims.jobs(folder, "ft.two") == set()
