"""Claims: one process at a time owns a run, and a late writer is refused."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.errors import ClaimLost, StoreError
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.run_claims import LEASE_SECONDS
from hpc_xfer.store.paths import RunDir
from hpc_xfer.system import atomic_files

TAKE = """
import sys; from pathlib import Path
from hpc_xfer.store.ownership import run_claims; from hpc_xfer.store.paths import RunDir
print('ready', flush=True); sys.stdin.readline()
print(run_claims.take(RunDir(Path(sys.argv[1]))) is not None, flush=True); sys.stdin.readline()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "c0ffee12ab34")


class Taker:
    """Another process that takes a run and lives until the test ends it."""

    def __init__(self, run: RunDir) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(run.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def other(run: RunDir) -> Iterator[Taker]:
    taker = Taker(run)
    yield taker
    taker.end()


def change(run: RunDir, **content: object) -> None:
    """Change the claim in force, as if another process had written it."""
    path = run.claims / f"{run_claims.attempts(run)}.json"
    atomic_files.write_json(path, {**json.loads(path.read_text()), **content})


def age(run: RunDir, seconds: float) -> None:
    for path in (*run.claims.iterdir(), *([run.progress] if run.progress.exists() else [])):
        os.utime(path, (time.time() - seconds,) * 2)


def test_a_claim_names_its_process(run: RunDir) -> None:
    claim = run_claims.take(run)
    assert claim is not None and claim.number == 1
    claim.check()
    held = run_claims.holder(run)
    assert held is not None
    assert (held["pid"], held["host"], held["attempt"]) == (os.getpid(), socket.gethostname(), 1)


def test_a_claim_names_the_job_of_its_process(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.setenv("SLURM_JOB_NAME", "pre.clip.study.c0ffee12ab34.1")
    run_claims.take(run)
    held = run_claims.holder(run)
    assert held is not None
    assert (held["slurm_job"], held["slurm_job_name"]) == ("812", "pre.clip.study.c0ffee12ab34.1")
    host = socket.gethostname()
    assert run_claims.owner_text(held) == f"process {os.getpid()} on host {host}, in job 812"
    assert run_claims.owner_text({**held, "slurm_job": None}) == (
        f"process {os.getpid()} on host {host}"
    )


def test_a_process_may_have_any_bytes_as_its_name(run: RunDir) -> None:
    """Linux cuts names after 15 bytes, also inside a character."""
    comm = Path("/proc/self/comm")
    before = comm.read_bytes()
    comm.write_bytes("préentraînement".encode()[:3])
    try:
        assert run_claims.take(run) is not None
        assert run_claims.is_alive(run)
    finally:
        comm.write_bytes(before)


def test_a_new_run_has_no_claim(run: RunDir) -> None:
    assert (run_claims.holder(run), run_claims.is_alive(run), run_claims.attempts(run)) == (
        None,
        False,
        0,
    )


def test_a_run_of_a_live_process_is_not_taken(run: RunDir, other: Taker) -> None:
    other.go_on()
    assert other.said() == "True"
    assert run_claims.is_alive(run)
    assert run_claims.take(run) is None


def test_a_run_in_a_copy_of_a_store_is_free_while_the_owner_works_in_the_original(
    run: RunDir,
) -> None:
    assert run_claims.take(run) is not None
    copy = RunDir(shutil.copytree(run.path, run.path.with_name("copy")))
    assert not run_claims.is_alive(copy)
    claim = run_claims.take(copy)
    assert claim is not None and claim.number == 2
    assert run_claims.is_alive(copy) and run_claims.is_alive(run)


def test_a_run_that_was_moved_belongs_to_its_owner(run: RunDir) -> None:
    assert run_claims.take(run) is not None
    assert run_claims.is_alive(RunDir(run.path.rename(run.path.with_name("moved"))))


def test_a_run_of_a_killed_process_is_taken_at_once(run: RunDir, other: Taker) -> None:
    other.go_on()
    assert other.said() == "True"
    other.end()
    assert not run_claims.is_alive(run)
    claim = run_claims.take(run)
    assert claim is not None and claim.number == 2


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


def test_a_released_run_is_free_while_its_owner_lives(run: RunDir) -> None:
    first = run_claims.take(run)
    assert first is not None
    first.release()
    second = run_claims.take(run)
    assert second is not None and second.number == 2


def test_a_late_writer_learns_that_it_lost_the_run(run: RunDir) -> None:
    first = run_claims.take(run)
    assert first is not None
    first.check()
    change(run, process_started="1")  # looks dead to others
    second = run_claims.take(run)
    assert second is not None
    with pytest.raises(ClaimLost) as caught:
        first.check()
    assert str(caught.value) == "c0ffee12ab34: another process has taken this over"
    second.check()


def test_a_late_release_does_not_free_the_run_of_another(run: RunDir) -> None:
    first = run_claims.take(run)
    assert first is not None
    change(run, process_started="1")
    run_claims.take(run)
    first.release()
    assert run_claims.is_alive(run)


def test_of_two_processes_at_the_same_time_one_gets_the_run(run: RunDir) -> None:
    takers = [Taker(run) for _ in range(2)]
    for taker in takers:
        taker.go_on()
    assert sorted(taker.said() for taker in takers) == ["False", "True"]
    for taker in takers:
        taker.end()


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


def in_force(run: RunDir) -> int:
    held = run_claims.holder(run)
    assert held is not None
    return int(held["attempt"])


def test_a_run_of_a_dead_owner_is_freed(run: RunDir) -> None:
    claim = run_claims.take(run)
    assert claim is not None
    change(run, host="node7")
    assert run_claims.revoke(run, in_force(run), "job 7 has ended")
    assert not run_claims.is_alive(run)
    with pytest.raises(ClaimLost):
        claim.check()
    assert not run_claims.revoke(run, in_force(run), "job 7 has ended")  # it is free already


def test_a_claim_is_not_revoked_while_its_process_lives_here(run: RunDir, other: Taker) -> None:
    other.go_on()
    assert other.said() == "True"
    assert not run_claims.revoke(run, in_force(run), "job 7 has ended")
    assert run_claims.sign_of_life(run) == "process"
    other.end()
    assert run_claims.revoke(run, in_force(run), "job 7 has ended")


def test_a_claim_that_another_process_took_meanwhile_is_not_revoked(run: RunDir) -> None:
    run_claims.take(run)
    change(run, host="node7")
    judged = in_force(run)
    age(run, LEASE_SECONDS + 60)
    assert run_claims.take(run) is not None
    change(run, host="node8")
    assert not run_claims.revoke(run, judged, "job 7 has ended")
    assert run_claims.is_alive(run)


def test_a_run_whose_folder_was_removed_cannot_be_written_any_more(run: RunDir) -> None:
    claim = run_claims.take(run)
    assert claim is not None
    shutil.rmtree(run.path)
    with pytest.raises(StoreError) as caught:
        claim.check()
    assert str(caught.value) == (
        f"{run.claims}: was removed while this process worked with it; launch again, and delete "
        "folders of a store only while nothing works on them"
    )
    claim.release()
    assert not run.path.exists()


def test_a_run_that_was_removed_and_claimed_anew_belongs_to_the_new_owner(run: RunDir) -> None:
    first = run_claims.take(run)
    assert first is not None
    shutil.rmtree(run.path)
    second = run_claims.take(run)
    assert second is not None and second.number == first.number
    with pytest.raises(ClaimLost):
        first.check()
    first.release()
    second.check()
    assert run_claims.is_alive(run)


def test_other_files_beside_the_claims_are_ignored(run: RunDir) -> None:
    run_claims.take(run)
    (run.claims / "2.json.orig").write_text("")
    (run.claims / "3 (copy).json").write_text("")
    assert run_claims.attempts(run) == 1


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
