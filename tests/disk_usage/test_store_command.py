"""`python -m hpc_xfer.store`: what a store takes, what may go, and that nothing else goes."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.errors import StoreError
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.store.__main__ import main
from hpc_xfer.store.code_snapshot import current_digest
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Submission, read_ledger
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import provenance
from tests.conftest import Command
from tests.fabricated import ONE_CELL, make, record

DAY = 24 * 60 * 60


@dataclass(frozen=True)
class LitteredStore:
    """A launched study whose first fine-tuning and pre-training are done, in a store with litter.

    Runs: a pre-training, a done fine-tuning, one with a checkpoint, one that was never begun.
    """

    store: Store
    plan: Plan
    stranger: Path  # a run that no study names, without a result
    unnamed: Path  # a record that no study names
    rehearsal: Path
    old_code: Path
    temporary: Path

    def call(self, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
        assert main([*words, "--store", str(self.store.root), "--json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    def results(self) -> dict[Path, bytes]:
        """Whatever must never go."""
        wanted = ("record.json", "hits.npy", "encoder.pt", "grid.yaml", "plan.json")
        kept = [path for name in wanted for path in self.store.root.rglob(name)]
        kept += [path for run in self.plan.runs[2:] for path in files(self.store.run(run.id).path)]
        return {path: path.read_bytes() for path in kept}


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def littered(tmp_path: Path) -> LitteredStore:
    study, plan, store = make(tmp_path, ONE_CELL)
    prepare_store(study, plan, store)
    parent, done, begun, _ = plan.runs
    for run in (parent, done, begun):
        store.write_recipe(run)
        store.run(run.id).checkpoint.write_bytes(b"0" * 5000)
        claim = run_claims.take(store.run(run.id))
        assert claim is not None
        claim.release()
    for run in (parent, done):
        record(store, run)
    store.run(parent.id).encoder.write_bytes(b"0" * 9000)
    store.run(done.id).hits.write_bytes(b"0" * 100)
    cache = store.cache("images")
    cache.mkdir(parents=True)
    (cache / "a.npy").write_bytes(b"0" * 20_000)
    stranger, unnamed = store.run("0123456789ab").path, store.run("ba9876543210").path
    for folder in (stranger, unnamed):
        folder.mkdir()
        (folder / "recipe.json").write_text("{}")
    (unnamed / "record.json").write_text("{}")
    temporary = store.run(done.id).path / ".record.json.4711.ab.tmp"
    temporary.write_text("half")
    old_code = store.code / "0ld0ld0ld0ld"
    old_code.mkdir()
    (old_code / "x.py").touch()
    for path in (temporary, old_code):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    rehearsal = Path(f"{store.root}-rehearsal-20260101-000000")
    (rehearsal / "runs").mkdir(parents=True)
    return LitteredStore(store, plan, stranger, unnamed, rehearsal, old_code, temporary)


def submitted(littered: LitteredStore) -> str:
    """Write that an array with all fine-tunings was submitted, with older code; its job name."""
    arrays = [each for each in cut_into_arrays(littered.plan) if each.kind == "finetune"]
    littered.store.write_manifest("one", arrays[0], {})
    name = f"ft.one.{arrays[0].id}-{littered.store.tag}.1"
    one = Submission(
        "one", name, "finetune", arrays[0].id, len(arrays[0].packs), provenance.now(), "n1",
        current_user(), code=littered.old_code.name, root=str(littered.store.root),
    )  # fmt: skip
    ledger = read_ledger(littered.store)
    ledger.record_intent(one)
    ledger.record_submitted(one, "12")
    return name


def test_sizes_are_told_by_kind(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    told = littered.call(capsys)
    kinds = {kind: size["files"] for kind, size in told["kinds"].items() if size["files"]}
    assert kinds["encoders"] == 1 and kinds["checkpoints"] == 3 and kinds["caches"] == 3
    assert kinds["rehearsals"] == 2
    assert told["files"] == sum(kinds.values())
    inside = sum(1 for _ in littered.store.root.rglob("*")) + 2
    assert told["files"] == inside
    assert told["kinds"]["checkpoints"]["bytes"] >= 15_000


def test_the_runs_of_a_study_are_told_apart(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = str(littered.store.root.parent / "grid.yaml")
    told = littered.call(capsys, grid)
    own = [littered.store.run(run.id).path for run in littered.plan.runs[:3]]
    assert told["study"] == "one"
    assert told["of_study"]["files"] == sum(1 + len([*path.rglob("*")]) for path in own)


def test_clean_removes_what_cannot_matter(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    before = littered.results()
    planned = littered.call(capsys, "clean", "--dry-run")
    assert littered.stranger.exists() and littered.rehearsal.exists()  # nothing is done yet
    done = littered.call(capsys, "clean")
    assert [each["what"] for each in done["removed"]] == [
        "cache", "code that no job runs", "checkpoints and working files of finished runs",
        "runs that no study names, without a result",
        "files that killed processes left half written",
        f"rehearsal {littered.rehearsal.name}",
    ]  # fmt: skip
    assert done["removed"] == planned["removed"] and done["errors"] == []
    gone = (littered.stranger, littered.rehearsal, littered.old_code, littered.temporary)
    assert not any(path.exists() for path in (*gone, littered.store.cache("images").parent))
    parent, fine_tuning, *_ = littered.plan.runs
    assert {path.name for path in files(littered.store.run(fine_tuning.id).path)} == {
        "record.json", "hits.npy",
    }  # fmt: skip
    assert not littered.store.run(parent.id).checkpoint.exists()
    assert littered.results() == before
    assert littered.store.done(littered.plan) == {parent.id, fine_tuning.id}
    assert (littered.store.code / current_digest()).exists()
    assert littered.call(capsys, "clean")["removed"] == []


def test_a_clean_of_one_study_is_refused(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would clean all, whatever study is named."""
    with pytest.raises(SystemExit):
        main(["clean", "grid.yaml", "--store", str(littered.store.root)])
    assert "clean is for all studies of the store: leave out grid.yaml" in capsys.readouterr().err
    assert littered.stranger.exists()


def test_hours_of_work_that_no_study_names_are_told_and_left(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    told = littered.call(capsys)
    (kept,) = [each for each in told["may_go"] if not each["cleaned"]]
    assert kept["what"] == "results of runs that no study names"
    assert kept["names"] == [str(littered.unnamed)]
    littered.call(capsys, "clean")
    assert (littered.unnamed / "record.json").exists()


def test_runs_are_named_by_studies_that_were_cancelled_too(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    littered.store.study("one").cancelled.touch()
    before = littered.results()
    littered.call(capsys, "clean")
    assert littered.results() == before


def test_no_run_is_unnamed_while_a_plan_cannot_be_read(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    littered.store.study("one").plan.write_text("[]")
    littered.call(capsys, "clean")
    assert littered.stranger.exists()


def test_what_a_process_works_on_stays(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    done = littered.plan.runs[1]
    assert run_claims.take(littered.store.run(done.id)) is not None  # of this process
    told = littered.call(capsys, "clean")
    assert told["in_use"] == "1 run is in the queue or at work"
    assert littered.store.run(done.id).checkpoint.exists()
    assert littered.store.cache("images").exists()  # it may read that
    assert not littered.stranger.exists()


def test_all_that_jobs_may_use_stays_while_slurm_does_not_answer(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    command("squeue", "echo 'squeue: error: Invalid user' >&2; exit 1")
    submitted(littered)
    told = littered.call(capsys, "clean")
    assert told["in_use"].startswith("Slurm does not answer")
    assert [each["what"] for each in told["removed"]] == [
        "files that killed processes left half written", f"rehearsal {littered.rehearsal.name}",
    ]  # fmt: skip
    assert littered.old_code.exists() and littered.stranger.exists()


def test_code_stays_while_jobs_that_were_submitted_by_hand_are_in_the_queue(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    """No ledger names them; their names tell the store."""
    name = f"ft.made.one.c0ffee12ab34-{littered.store.tag}.0"
    command("sbatch", "exit 1")
    command(
        "squeue",  # which prints a mark of ours before each line
        'mark=${7%%|*}; [ "$6" = "-o" ] || exit 3; '
        f'echo "$mark|12|N/A|12|PENDING|{current_user()}|normal||0:00|None|{name}"',
    )
    told = littered.call(capsys, "clean")
    assert told["in_use"].endswith("and 1 job submitted by hand")
    assert littered.old_code.exists() and littered.store.cache("images").exists()
    assert not littered.stranger.exists()


def test_code_of_jobs_that_were_submitted_by_hand_stays_while_slurm_does_not_answer(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    """`launch --by-hand` left the manifest of an array, and no line in the ledger."""
    (array, *_) = cut_into_arrays(littered.plan)
    littered.store.write_manifest(littered.store.studies()[0], array, {})
    command("sbatch", "exit 1")
    command("squeue", "echo 'squeue: error: Invalid user' >&2; exit 1")
    told = littered.call(capsys, "clean")
    assert told["in_use"].startswith("Slurm does not answer")
    assert littered.old_code.exists() and littered.store.cache("images").exists()


def test_code_stays_while_the_last_job_of_those_by_hand_waits(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str], command: Command
) -> None:
    """It collects and reports, after all others have ended."""
    name = f"collect.made.{littered.store.tag}.by-hand.0"
    command("sbatch", "exit 1")
    command(
        "squeue",
        'mark=${7%%|*}; [ "$6" = "-o" ] || exit 3; '
        f'echo "$mark|12|N/A|12|PENDING|{current_user()}|normal||0:00|None|{name}"',
    )
    assert littered.call(capsys, "clean")["in_use"].endswith("and 1 job submitted by hand")
    assert littered.old_code.exists()


@pytest.mark.parametrize("state", ["PENDING", "COMPLETED"])
def test_what_a_job_in_the_queue_uses_stays_though_squeue_does_not_show_it(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str], command: Command, state: str
) -> None:
    name = submitted(littered)
    command("squeue", "exit 0")
    command(
        "scontrol",
        f'case "$*" in *job*) echo "JobId=12 ArrayJobId=12 ArrayTaskId=0 JobName={name} '
        f'UserId={current_user()}({os.geteuid()}) JobState={state} Reason=None";; esac',
    )
    told = littered.call(capsys, "clean")
    is_live = state == "PENDING"
    assert littered.old_code.exists() == is_live
    assert littered.store.run(littered.plan.runs[1].id).checkpoint.exists() == is_live
    assert littered.store.cache("images").exists() == is_live
    assert bool(told["in_use"]) == is_live


def test_no_link_is_followed(littered: LitteredStore, capsys: pytest.CaptureFixture[str]) -> None:
    outside = littered.store.root.parent / "precious"
    outside.mkdir()
    (outside / "data").touch()
    shutil.rmtree(littered.store.run(littered.stranger.name).path)
    littered.stranger.symlink_to(outside)
    (littered.old_code / "link").symlink_to(outside)
    littered.call(capsys, "clean")
    assert (outside / "data").exists()


def test_what_this_package_did_not_make_stays(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    places = littered.store.runs / "notes", littered.stranger, littered.store.code / "my tools"
    for folder in places:
        folder.mkdir(exist_ok=True)
        (folder / "lab book.txt").write_text("precious")
        os.utime(folder, (time.time() - 2 * DAY,) * 2)
    theirs = littered.store.runs / ".cache.tmp"
    theirs.touch()
    os.utime(theirs, (time.time() - 2 * DAY,) * 2)
    told = littered.call(capsys)
    assert told["runs"] == 5 and told["kinds"]["other"]["files"] >= 3
    assert littered.call(capsys, "clean")["errors"] == []
    assert theirs.exists() and all((folder / "lab book.txt").exists() for folder in places)
    kept = {each["what"]: each["names"] for each in told["may_go"] if not each["cleaned"]}
    assert kept["runs that no study names, with files of others"] == [str(littered.stranger)]


def test_a_folder_that_is_no_store_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="this store does not exist"):
        main(["--store", str(tmp_path / "none")])
    (tmp_path / "none-rehearsal-20260101-000000").mkdir()
    with pytest.raises(StoreError, match=r"beside it: 1 rehearsal, as .*none-rehearsal-2026"):
        main(["--store", str(tmp_path / "none")])
    (tmp_path / "none-rehearsal-20260101-000000").rmdir()
    with pytest.raises(StoreError, match="this is not a store: it has neither runs/ nor studies/"):
        main(["clean", "--store", str(tmp_path)])
    assert [*tmp_path.iterdir()] == []  # no lock is left there


def test_a_store_without_its_option_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for word, told in (("none", "there is no study file none\n"), ("/", "write --store / for a")):
        with pytest.raises(SystemExit):
            main([word])
        assert told in capsys.readouterr().err


def test_people_read_a_table_and_the_command_that_frees_the_rest(
    littered: LitteredStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--store", str(littered.store.root)]) == 0
    shown = capsys.readouterr().out
    assert "encoders" in shown and "rehearsals" in shown and "what may go" in shown
    assert f"may go at once: python -m hpc_xfer.store clean --store {littered.store.root}" in shown
    assert main(["clean", "--store", str(littered.store.root)]) == 0
    assert "in all" in capsys.readouterr().out
