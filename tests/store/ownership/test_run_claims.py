"""Claims: one process at a time owns a run, and a late writer is refused."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from hpc_xfer.errors import ClaimLost, StoreError
from hpc_xfer.store.heartbeat import Heartbeat, Liveness
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.run_claims import LEASE_SECONDS
from hpc_xfer.store.paths import RunDir
from tests.store.ownership.other_owners import Taker, age, change


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


def test_a_start_without_a_step_shows_no_progress_of_the_start_before(run: RunDir) -> None:
    """Its speed and time to go would be taken for those of now: `0 s to go`, after a requeue."""
    first = run_claims.take(run)
    assert first is not None and run_claims.progress(run) is None
    Heartbeat(run, total=100, batch=64).beat(40)
    assert (run_claims.progress(run) or {})["step"] == 40
    first.release()
    assert run_claims.take(run) is not None
    Liveness(run).touch()  # it is at work, and made no step yet
    assert run_claims.progress(run) is None
    Heartbeat(run, total=100, batch=64, done_before=40).beat(41)
    assert (run_claims.progress(run) or {})["step"] == 41


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
