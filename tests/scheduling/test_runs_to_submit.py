"""Which runs the relay, a launch and a launch with --retry-failed submit again."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.scheduling.array_parts import array_parts
from hpc_xfer.scheduling.job_requests import request_of
from hpc_xfer.scheduling.runs_to_submit import RunSelector, Selection, select_for_this_machine
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store import failures
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.retry_policy import RULES, Retrier
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Ledger, Submission
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, make_plan
from hpc_xfer.study.study_file import load_study

GRID = """\
name: x
pretrain: [{method: scratch, arch: RN50}]
finetune: {datasets: [digits], shots: [1], draws: 2, mode: [lp], solver: adamw, lr: 0.01}
resources: {finetune: {minutes: 1}}
"""
NOW = "2026-01-02T03:04:05+00:00"
MEMORY = Slurm(memory_per_gpu=4, max_memory_per_gpu=16)


@pytest.fixture
def launched(tmp_path: Path) -> LaunchedStudy:
    grid = tmp_path / "a.yaml"
    grid.write_text(GRID)
    study = load_study(grid)
    return LaunchedStudy(study, make_plan(study), Store(tmp_path), Site(slurm=MEMORY), None)


def select(launched: LaunchedStudy, by: Retrier, *statuses: RunStatus) -> Selection:
    """Select with these statuses of the parent and its two children."""
    by_run = {run.id: status for run, status in zip(launched.plan.runs, statuses, strict=True)}
    return RunSelector(launched, by, by_run, Ledger(launched.store), Queue()).select()


DONE, MISSING = RunStatus("done"), RunStatus("missing")


@pytest.mark.parametrize("by", ["relay", "launch", "all"])
@pytest.mark.parametrize("kind", RULES)
def test_a_failed_run_is_submitted_again_as_the_table_says(
    launched: LaunchedStudy, kind: str, by: Retrier
) -> None:
    parent, *_ = launched.plan.runs
    failures.write(launched.store.run(parent.id), kind, "why", job="7", node="n1")
    selected = select(launched, by, RunStatus("failed", kind, "why"), MISSING, MISSING)
    retriers = {"job": ("relay", "launch", "all"), "relay": ("relay", "launch", "all"),
                "launch": ("launch", "all"), "all": ("all",)}  # fmt: skip
    if by in retriers[RULES[kind].first_retrier]:
        assert selected == Selection(launched.plan, {}, 0)
    else:
        assert (selected.given_up, selected.blocked) == ({parent.id: f"{kind}: why"}, 2)
        assert not selected.plan.runs


def test_retry_failed_keeps_to_the_part_that_only_selects(launched: LaunchedStudy) -> None:
    first, second = launched.plan.of("finetune")
    for run in (first, second):
        failures.write(launched.store.run(run.id), "nan", "why")
    failed = RunStatus("failed", "nan", "why")
    selected = select(replace(launched, only=(f"run={second.id}",)), "all", DONE, failed, failed)
    assert [run.id for run in selected.plan.of("finetune")] == [second.id]


@pytest.mark.parametrize("kind", RULES)
def test_a_launch_on_this_machine_leaves_out_what_a_launch_on_slurm_does(
    launched: LaunchedStudy, kind: str
) -> None:
    parent, *_ = launched.plan.runs
    failures.write(launched.store.run(parent.id), kind, "why")
    status = RunStatus("failed", kind, "why")
    retriers: list[Retrier] = ["launch", "all"]
    for by in retriers:
        on_slurm = select(launched, by, status, MISSING, MISSING)
        assert select_for_this_machine(launched, by, set()) == on_slurm


def test_a_run_lost_behind_one_that_lacked_memory_is_submitted_with_it_and_with_more(
    launched: LaunchedStudy,
) -> None:
    """Slurm says `out of memory` of the job; only the run that it had begun has an error.json."""
    _, first, second = launched.plan.runs
    failures.write(launched.store.run(first.id), "out of memory", "too few", job="7", node="n1")
    lost = RunStatus("lost", "out of memory", "job 7 ended without a result of this run")
    selected = select(launched, "relay", DONE, lost, lost)
    assert [run.id for run in selected.plan.runs] == [first.id, second.id]
    statuses = {run.id: lost for run in selected.plan.runs}
    parts = list(array_parts(launched, selected.plan, statuses, 100))
    assert [(part.run_count, part.memory_per_gpu) for part in parts] == [(2, 8)]


def test_a_run_that_the_time_limit_stopped_is_submitted_with_twice_the_time(
    launched: LaunchedStudy,
) -> None:
    first = launched.plan.runs[1]
    lost = RunStatus("lost", "time limit", "job 7 ended without a result of this run")
    asked = []
    for job in ("7", "8"):
        failures.write(launched.store.run(first.id), "time limit", "too short", job=job, node="n1")
        selected = select(launched, "relay", DONE, lost, lost)
        statuses = {run.id: lost for run in selected.plan.runs}
        (part,) = array_parts(launched, selected.plan, statuses, 100)
        asked.append(request_of(launched, part.array, 2, part.minutes_factor).minutes)
    usual = request_of(launched, part.array, 1).minutes
    start = usual - part.array.minutes
    assert [minutes - start for minutes in asked] == [2 * (usual - start), 4 * (usual - start)]


def test_the_relay_gives_up_when_memory_cannot_grow(launched: LaunchedStudy) -> None:
    _, first, second = launched.plan.runs
    failed = RunStatus("failed", "out of memory", "too few")
    for _ in range(3):  # with 4, 8 and 16 GB
        failures.write(launched.store.run(first.id), "out of memory", "too few", "", "7", "n1")
    selected = select(launched, "relay", DONE, failed, MISSING)
    assert selected.given_up == {first.id: "out of memory: too few"}
    assert [run.id for run in selected.plan.runs] == [second.id]
    assert not select(launched, "launch", DONE, failed, MISSING).given_up


def test_the_relay_leaves_what_a_person_cancelled_and_a_launch_does_not(
    launched: LaunchedStudy,
) -> None:
    _, first, _ = launched.plan.runs
    cancelled = RunStatus("missing", "cancelled")
    assert select(launched, "relay", DONE, cancelled, MISSING).given_up == {first.id: "cancelled"}
    assert not select(launched, "launch", DONE, cancelled, MISSING).given_up


@pytest.mark.parametrize(("failure", "given_up"), [("no gpu", 2), ("gpu", 1)])
def test_runs_that_were_not_begun_for_want_of_a_gpu_were_tried_too(
    failure: str, given_up: int, launched: LaunchedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each run of a pack would take as many jobs, where no node has a GPU that works."""
    _, first, second = launched.plan.runs
    batch = JobArray((Pack((first, second), 1.0, 1),))
    launched.store.write_manifest("x", batch, {})
    ledger, folder = Ledger(launched.store), launched.store.run(first.id)
    for number in range(21, 21 + launched.site.slurm.retries + 1):
        job = Submission("x", f"ft.{number}", "finetune", batch.id, 1, NOW, "h", "ada")
        ledger.record_intent(job)
        ledger.record_submitted(job, str(number))
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", str(number))
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
        claim = run_claims.take(folder)
        assert claim is not None
        failures.write(folder, failure, "why", node=f"n{number}")
        claim.release()
    lost = RunStatus("lost", "killed", "job 24_0 ended without a result of this run")
    statuses = {run.id: DONE for run in launched.plan.runs}
    statuses |= {first.id: RunStatus("failed", failure, "why"), second.id: lost}
    selected = RunSelector(launched, "relay", statuses, ledger, Queue()).select()
    assert len(selected.given_up) == given_up
    assert all("4 jobs without progress" in why for why in selected.given_up.values())
