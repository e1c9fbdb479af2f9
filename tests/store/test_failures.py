"""error.json: why a run failed, and in which job."""

from pathlib import Path

import pytest

from hpc_xfer.store import failures
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "c0ffee12ab34")


def test_a_failure_and_its_history_name_the_job(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.a.1")
    failures.write(run, "killed", "signal 9")
    failures.write(run, "node failure", "", job="9", job_name="pre.a.2", node="n1")
    failures.write(run, "killed", "", job="10", node="")  # only its number is known
    error = failures.read(run)
    assert error is not None
    assert [(past["job"], past["job_name"]) for past in error["history"]] == [
        ("7", "pre.a.1"), ("9", "pre.a.2"), ("10", None),
    ]  # fmt: skip
    assert (error["job"], error["job_name"]) == ("10", None)


@pytest.mark.parametrize(("name", "same"), [("pre.a.1", True), ("pre.a.2", False), (None, True)])
def test_a_failure_is_one_of_a_job_if_number_and_name_agree(
    name: str | None, same: bool, run: RunDir
) -> None:
    error = failures.write(run, "killed", "signal 9", job="7", job_name="pre.a.1")
    assert failures.is_of_job(error, "7", name) is same
    assert not failures.is_of_job(error, "8", name)


def test_a_failure_of_an_older_version_is_known_by_its_number(run: RunDir) -> None:
    error = failures.write(run, "killed", "signal 9", job="7")
    del error["job_name"]
    atomic_files.write_json(run.error, error)
    old = failures.read(run)
    assert old is not None and failures.is_of_job(old, "7", "pre.a.1")


def test_a_failure_from_before_the_last_start_says_nothing_of_it(run: RunDir) -> None:
    claim = run_claims.take(run)
    assert claim is not None
    failures.write(run, "killed", "signal 9")
    error = failures.of_last_start(run)
    assert error is not None and error["class"] == "killed"
    claim.release()
    assert run_claims.take(run) is not None
    assert failures.of_last_start(run) is None
