"""`status --follow RUN` prints a log as it grows: over requeues, until the run has ended."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring.log_follower import follow, log_of
from hpc_xfer.monitoring.run_ids import run_that_begins
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store import failures
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack
from tests.monitoring.states import TWO, element, line, study_state, submission


def in_state(study: StudyState, status: RunStatus) -> StudyState:
    return replace(study, status={**study.status, TWO.id: status})


def pending(job: str) -> RunStatus:
    return RunStatus("pending", "Resources", element=element(job), line=line(job, "PENDING"))


def running(job: str) -> RunStatus:
    return RunStatus("running", "None", element=element(job), line=line(job, "RUNNING"))


def log_of_job(study: StudyState, job: str) -> Path:
    path = study.store.study("s").logs / f"{job}_0_log.out"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def followed(states: list[StudyState], written: Iterator[tuple[Path, str]]) -> list[str]:
    """Lines that `status --follow` prints; at each wait a text is added to a log."""

    def write(_: float) -> None:
        path, text = next(written)
        with open(path, "a") as file:
            file.write(text)

    looks = iter(states)
    return [*follow(lambda: next(looks), TWO.id[:6], every=1, wait=write)]


def test_a_log_is_followed_over_a_requeue_and_a_new_job_to_the_end_of_the_run(
    tmp_path: Path,
) -> None:
    study = study_state(tmp_path)
    first, second = log_of_job(study, "12"), log_of_job(study, "31")
    states = [
        in_state(study, pending("12")), in_state(study, running("12")),
        in_state(study, pending("12")), in_state(study, running("31")),
        in_state(study, RunStatus("done", element=element("31"))),
    ]  # fmt: skip
    written = [(first, "step 1\nst"), (first, "ep 2\n"), (first, "requeued\n"), (second, "step 3")]
    assert followed(states, iter(written)) == [
        f"{TWO.id} is pending (not enough of the cluster is free (Slurm: Resources)); its log "
        f"will be {first}",
        f"== {first}", "step 1", "step 2",
        f"{TWO.id} is pending (not enough of the cluster is free (Slurm: Resources))",
        "requeued",
        f"{TWO.id} is running; its log will be {second}",
        f"== {second}", "step 3", f"{TWO.id} is done",
    ]  # fmt: skip


def test_a_run_that_fails_for_good_ends_with_its_message(tmp_path: Path) -> None:
    failed = RunStatus("failed", "nan", "the loss is nan at step 7\nand more", element("12"))
    lines = followed([in_state(study_state(tmp_path), failed)], iter(()))
    assert lines[-1] == f"{TWO.id} is failed: nan: the loss is nan at step 7"


def test_a_run_of_another_study_has_its_log_there(tmp_path: Path) -> None:
    study = study_state(tmp_path)
    array = JobArray((Pack((TWO,), 1.0, 1),))
    study.store.write_manifest("other", array, {})
    theirs = submission("31", "ft.other", 1, study="other", batch=array.id)
    study.ledger.record_intent(theirs)
    study.ledger.record_submitted(theirs, "31")
    failures.write(study.store.run(TWO.id), "nan", "the loss is nan", job="31_0", node="n1")
    log = study.store.study("other").logs / "31_0_0_log.out"
    assert log_of(in_state(study, RunStatus("failed", "nan")), TWO) == log


def test_the_run_is_named_by_the_start_of_its_id(tmp_path: Path) -> None:
    study = study_state(tmp_path)
    assert run_that_begins(study, TWO.id[:5], "--follow") == TWO
    with pytest.raises(StudyError, match="no run of this study has an id that begins so"):
        run_that_begins(study, "zz", "--follow")
    with pytest.raises(StudyError, match=r"8 runs have ids that begin so \(.*, \.\.\.\)"):
        run_that_begins(study, "", "--follow")
