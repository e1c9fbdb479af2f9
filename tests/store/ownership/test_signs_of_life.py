"""Whether an owner lives: by its process on this host, by its claim and heartbeat elsewhere."""

import json
import os

import pytest

from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.run_claims import LEASE_SECONDS
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files
from tests.store.ownership.other_owners import Taker, age, change


def test_a_zombie_is_dead(run: RunDir) -> None:
    taker = Taker(run)
    taker.go_on()
    assert taker.said() == "True"
    taker.process.kill()
    os.waitid(os.P_PID, taker.process.pid, os.WEXITED | os.WNOWAIT)  # dead, but not yet waited for
    assert not run_claims.is_alive(run)
    taker.end()


def test_a_process_with_the_id_of_a_dead_owner_is_not_the_owner(run: RunDir) -> None:
    run_claims.take(run)
    change(run, process_started="1")
    assert not run_claims.is_alive(run)


@pytest.mark.parametrize(
    ("seconds", "alive"), [(0, True), (LEASE_SECONDS - 60, True), (LEASE_SECONDS + 60, False)]
)
def test_an_owner_on_another_host_is_alive_while_its_claim_is_fresh(
    run: RunDir, seconds: float, alive: bool
) -> None:
    run_claims.take(run)
    change(run, host="node7")
    age(run, seconds)
    assert run_claims.is_alive(run) is alive
    assert (run_claims.take(run) is None) is alive


@pytest.mark.parametrize("key", ["boot", "pid_namespace"])
def test_a_process_id_of_another_boot_or_container_says_nothing(run: RunDir, key: str) -> None:
    """Two containers on one host have the same host name, and each a process 1."""
    run_claims.take(run)
    change(run, **{key: "another", "process_started": "1"})
    assert run_claims.sign_of_life(run) == "heartbeat"
    age(run, LEASE_SECONDS + 60)
    assert run_claims.sign_of_life(run) is None


def test_claims_of_older_versions_are_judged_by_host_and_process(run: RunDir) -> None:
    run_claims.take(run)
    path = run.claims / "1.json"
    later = ("boot", "pid_namespace", "slurm_job_name", "token")
    old = {key: value for key, value in json.loads(path.read_text()).items() if key not in later}
    atomic_files.write_json(path, old)
    assert run_claims.sign_of_life(run) == "process"
    atomic_files.write_json(path, {**old, "process_started": "1"})
    assert run_claims.sign_of_life(run) is None
    atomic_files.write_json(path, {**old, "host": "node7"})
    assert run_claims.sign_of_life(run) == "heartbeat"


def test_a_fresh_heartbeat_keeps_an_old_claim_on_another_host_alive(run: RunDir) -> None:
    run_claims.take(run)
    change(run, host="node7")
    age(run, LEASE_SECONDS + 60)
    atomic_files.write_json(run.progress, {"step": 1})
    assert run_claims.is_alive(run)
    age(run, LEASE_SECONDS + 60)
    assert not run_claims.is_alive(run)


def test_the_heartbeat_decides_where_there_is_no_proc(run: RunDir) -> None:
    run_claims.take(run)
    change(run, process_started=None)
    assert run_claims.is_alive(run)
    age(run, LEASE_SECONDS + 60)
    assert not run_claims.is_alive(run)


def test_a_requeued_job_takes_its_own_run_back_at_once(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    run_claims.take(run)
    change(run, host="node7")
    assert run_claims.take(run) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert run_claims.take(run) is not None
    change(run, host="node7")
    monkeypatch.setenv("SLURM_JOB_ID", "813")  # another job
    assert run_claims.take(run) is None


def test_a_job_of_the_same_number_on_a_controller_installed_anew_is_another_job(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.clip.study.c0ffee12ab34.1")
    run_claims.take(run)
    change(run, host="node7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.clip.study.c0ffee12ab34.2")
    assert run_claims.is_alive(run)
    assert run_claims.take(run) is None
    assert run_claims.jobs(run) == {"3"}
    assert run_claims.jobs(run, name="pre.clip.study.c0ffee12ab34.2") == set()
