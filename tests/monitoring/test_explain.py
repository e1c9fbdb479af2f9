"""`status --why` and `status --job`: what is told of one run, and of one job of squeue."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.monitoring.explain import explain_job, explain_run
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.study import job_arrays
from hpc_xfer.study.plan import Pack
from tests.monitoring.states import FEW, MANY, ONE, TWO, element, line, study_state, submission

FEW_IDS, MANY_IDS = [run.id for run in FEW], [run.id for run in MANY]


def why(state: StudyState, status: RunStatus) -> list[str]:
    changed = replace(state, status={**state.status, TWO.id: status})
    return explain_run(changed, TWO.id[:8])


def test_several_ids_that_fit_are_listed(tmp_path: Path) -> None:
    lines = explain_run(study_state(tmp_path), "")
    assert lines[0] == "8 runs have ids that begin with ; give more of one:"
    assert lines[2] == f"  {TWO.id}  running  supervised [bold] 256 seed 1"
    assert [each.split()[0] for each in lines[3:]] == FEW_IDS + MANY_IDS


def test_an_id_that_no_run_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--why ffff: no run of this study has an id"):
        explain_run(study_state(tmp_path), "ffff")


def test_a_pending_run_is_explained_in_words(tmp_path: Path) -> None:
    lines = why(study_state(tmp_path), RunStatus("pending", "Resources", element=element("12")))
    assert lines[1:4] == [
        "state: pending Resources", "meaning: not enough of the cluster is free", "job: 12",
    ]  # fmt: skip


def test_a_lost_run_without_a_log_tells_which_folder_its_node_could_not_open(
    tmp_path: Path,
) -> None:
    state = study_state(tmp_path)
    logs = state.store.study("s").logs
    told = f"job 12 ended without a log: its node could not open {logs}"
    lost = RunStatus("lost", "killed", told, element("12"), line("12", "FAILED"))
    lines = why(state, lost)
    assert f"message: {told}" in lines and lines[-1] == f"log: {log_path(logs, '12')}"
    logs.mkdir(exist_ok=True)
    log_path(logs, "12").write_text("it began\n")
    lines = why(state, lost)
    assert lines[-2:] == ["last lines of the log:", "  it began"]


def test_a_run_that_a_process_elsewhere_executes_names_it_as_its_job(tmp_path: Path) -> None:
    who = "process 7 on host login1, in job 40"
    lines = why(study_state(tmp_path), RunStatus("running", who, element=element("12")))
    assert lines[1:4] == [f"state: running {who}", "meaning: a process works on it", f"job: {who}"]


@pytest.fixture
def state(tmp_path: Path) -> StudyState:
    """A pre-training as job 12; fine-tunings as the elements 13_0 to 13_3; another job 13 before.

    Slurm runs 13_0, whose SLURM_JOB_ID is 14; the others wait.
    """
    found = study_state(tmp_path)
    packs = tuple(Pack((run,), 1.0, 1) for run in FEW)
    (array, other, single) = (
        job_arrays.JobArray(packs), job_arrays.JobArray((Pack((MANY[0],), 1.0, 1),)),
        job_arrays.JobArray((Pack((ONE,), 1.0, 1),)),
    )  # fmt: skip
    ledger = read_ledger(found.store)
    for job, batch, elements in (("13", other, 1), ("12", single, None), ("13", array, 4)):
        found.store.write_manifest("s", batch, {})
        one = submission(job, f"ft5.{batch.id}", elements, batch=batch.id)
        ledger.record_intent(replace(one, job=None))
        ledger.record_submitted(one, job)
    name = f"ft5.{array.id}"
    lines = [line("13_0", "RUNNING", name=name, raw="14", nodes="n1")]
    lines += [line(f"13_{i}", "PENDING", name=name, reason="Priority") for i in (1, 2, 3)]
    return replace(found, ledger=ledger, queue=Queue({each.job: each for each in lines}))


def listed(lines: list[str], head: str) -> list[str]:
    """The runs below the heading with a job name."""
    start = next(i for i, each in enumerate(lines) if each.endswith(f"  {head}"))
    found = []
    for each in lines[start + 1 :]:
        if each.startswith("log: "):
            break
        if each.startswith("  "):
            found.append(next(word for word in each.split() if len(word) == 12))
    return found


def array_name(state: StudyState) -> str:
    return list(state.ledger.submissions)[-1]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("13", [0, 1, 2, 3]), ("13_2", [2]), ("13_[1-3%2]", [1, 2, 3]), ("13_[0,2-3]", [0, 2, 3])],
)
def test_a_job_is_given_as_squeue_prints_it(
    state: StudyState, asked: str, expected: list[int]
) -> None:
    lines = explain_job(state, asked)
    assert listed(lines, array_name(state)) == [FEW_IDS[index] for index in expected]


def test_the_raw_id_of_a_running_element_names_the_element(state: StudyState) -> None:
    lines = explain_job(state, "14")
    assert lines[0] == f"13_0  {array_name(state)}"
    assert listed(lines, array_name(state)) == FEW_IDS[:1]
    assert "Slurm: RUNNING  n1" in lines


def test_slurms_words_on_the_elements_are_counted(state: StudyState) -> None:
    assert "Slurm: 1 RUNNING, 3 PENDING Priority" in explain_job(state, "13")
    waiting = explain_job(state, "13_1")
    assert "Slurm: PENDING Priority (jobs of higher priority come first)" in waiting


def test_a_number_that_was_given_twice_shows_both_jobs(state: StudyState) -> None:
    """Slurm's numbers begin at 1 again when it is installed anew."""
    lines = explain_job(state, "13_0")
    first, _, last = state.ledger.submissions
    assert lines[0].startswith("Slurm gave the number 13 to 2 jobs of this store")
    assert listed(lines, first) == MANY_IDS[:1] and listed(lines, last) == FEW_IDS[:1]
    assert f"Slurm has given this number to another job since, {last} of ada" in lines


def test_a_number_that_another_job_has_now_is_not_taken_for_ours(state: StudyState) -> None:
    stranger = replace(state, queue=Queue({"12": line("12", "RUNNING", name="sleep")}))
    lines = explain_job(stranger, "12")
    assert "Slurm has given this number to another job since, sleep of ada" in lines
    assert not any(each.startswith("Slurm: ") for each in lines)


def test_an_unknown_job_and_what_is_no_job_are_errors(state: StudyState) -> None:
    with pytest.raises(StudyError, match="job 99_1: no study of this store submitted it"):
        explain_job(state, "99_1")
    with pytest.raises(StudyError, match="--job ft5: is not a job id"):
        explain_job(state, "ft5")


def test_an_index_that_an_array_does_not_have_tells_which_it_has(state: StudyState) -> None:
    assert "its elements are 13_0 to 13_3" in explain_job(state, "13_9")


def test_a_job_names_logs_that_are_there(state: StudyState) -> None:
    logs = state.store.study("s").logs
    logs.mkdir(exist_ok=True)
    log_path(logs, "13_0").write_text("it began\n")
    assert explain_job(state, "13_0")[-1] == f"log: {logs}/13_0_0_log.out"
    assert explain_job(state, "13_1")[-1] == f"log: {logs}/13_1_0_log.out (not written)"
    assert explain_job(state, "13")[-1] == f"log: {logs}/13_*_0_log.out of each element"
    assert not any(line.startswith("log: ") for line in explain_job(state, "13_9"))
