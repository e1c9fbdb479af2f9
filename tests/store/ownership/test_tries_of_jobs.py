"""Which jobs tried a run, made progress with it, or found it held."""

import json

import pytest

from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files


def test_a_job_made_no_progress_if_it_saved_no_checkpoint(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps do not count: the next job starts at the last checkpoint again."""
    for job, step in (("7", 90), ("8", 130), ("9", 170), ("10", 0)):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        claim = run_claims.take(run)
        assert claim is not None
        atomic_files.write_json(run.progress, {"step": step})
        if job == "8":
            run.checkpoint.write_bytes(b"")
        claim.release()
    assert run_claims.jobs_without_progress(run) == 2


def test_a_job_that_found_its_run_held_is_no_try(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that lost the run to another process."""
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.a")
    for job in ("7", "8", "9"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        if job == "8":
            run_claims.record_found_held(run, run_claims.holder(run))
            continue
        claim = run_claims.take(run)
        assert claim is not None
        if job == "9":
            run_claims.record_found_held(run, run_claims.holder(run))
        claim.release()
    assert run_claims.found_held(run) == {"8", "9"}
    assert run_claims.jobs_without_progress(run) == 1
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run_claims.take(run)  # the requeued job got it after all
    assert run_claims.jobs_without_progress(run) == 2


def test_who_found_a_run_held_is_known_by_number_and_name(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.a")
    run_claims.record_found_held(run, {"pid": 5, "host": "n1", "slurm_job": "6"})
    assert run_claims.found_held(run, name="pre.a") == {"7_3"}
    assert run_claims.found_held(run, name="pre.b") == set()
    note = json.loads((run.found_held / "7_3.json").read_text())
    assert run_claims.owner_text(note["by"]) == "process 5 on host n1, in job 6"


def test_outside_slurm_nothing_is_noted_of_a_held_run(run: RunDir) -> None:
    run_claims.record_found_held(run, None)
    assert run_claims.found_held(run) == set()
