"""A pipe in place of any file of a store: no command waits for its other end."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_xfer.compute.downstream.array_format import Rows
from hpc_xfer.compute.downstream.cached_array import CachedArray
from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.training.metrics_log import MetricsLog
from hpc_xfer.errors import StoreError, XferError
from hpc_xfer.reporting.report_study import report_study
from hpc_xfer.results.collect_tables import collect
from hpc_xfer.store.access.logs import last_lines, open_log
from hpc_xfer.store.code_snapshot import take_snapshot
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.paths import RunDir, StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.system import atomic_files, set_aside
from tests.conftest import ROOT
from tests.fabricated import make, record

SMALL = """
name: one
pretrain: [{method: scratch, arch: RN50}]
finetune: {datasets: [digits], shots: [1], draws: 1, tune: {lr: [1e-4, 1e-3]}}
"""
OF_STUDY: dict[str, Callable[[StudyDir], Path]] = {
    "grid": lambda study: study.grid,
    "plan": lambda study: study.plan,
    "ledger": lambda study: study.launches,
    "study": lambda study: study.path.parent / "other",
    "ledger of another": lambda study: study.path.parent / "other/launches.jsonl",
    "plan of another": lambda study: study.path.parent / "other/plan.json",
    "imported": lambda study: study.imported / "theirs.csv",
    "table": lambda study: study.summary / "runs.csv",
    "averages": lambda study: study.summary / "averages.csv",
    "cache": lambda study: study.record_cache / "plan",
    "figure": lambda study: study.figures / "theirs.png",
    "summary": lambda study: study.summary,
}
OF_RUN: dict[str, Callable[[RunDir], Path]] = {
    "record": lambda run: run.record,
    "hits": lambda run: run.hits,
    "recipe": lambda run: run.recipe,
    "error": lambda run: run.error,
    "progress": lambda run: run.progress,
    "claim": lambda run: run.claims / "1.json",
    "note": lambda run: run.found_held / "7.json",
    "encoder": lambda run: run.encoder,
}


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def ends(code: str, *arguments: str) -> str:
    """Run Python in a process that must end, and return what it says."""
    call = [sys.executable, "-c", code, *arguments]
    env = {**os.environ, "HPC_XFER_SLURM_PATIENCE": "0"}  # no Slurm answers here
    done = subprocess.run(call, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout + done.stderr


# One process for all stores: a start of Python takes longer than these commands.
CALLS = """
import faulthandler, importlib, sys
from hpc_xfer.errors import XferError
grid, *stores = sys.argv[1:]
for store in stores:
    for name in ("status", "launch", "collect", "report", "cancel"):
        print(store, name, flush=True)
        faulthandler.dump_traceback_later(100, exit=True)  # where it waits
        more = ["--by-hand"] if name == "launch" else []
        try:
            importlib.import_module("hpc_xfer." + name).main([grid, "--store", store, *more])
        except XferError as error:
            print(error)
print("all ended")
"""


def test_a_pipe_in_the_folder_of_a_study_stops_no_command(tmp_path: Path) -> None:
    study, plan, _ = make(tmp_path, SMALL)
    stores = []
    for place, path_of in OF_STUDY.items():
        store = Store(tmp_path / place)
        prepare_store(study, plan, store)
        path = path_of(store.study("one"))
        pipe(path)
        stores.append(str(store.root))
    assert ends(CALLS, str(study.path), *stores).endswith("all ended\n")


def test_a_pipe_in_the_folder_of_a_run_stops_no_command(tmp_path: Path) -> None:
    study, plan, _ = make(tmp_path, SMALL)
    stores = []
    for place, path_of in OF_RUN.items():
        store = Store(tmp_path / place)
        prepare_store(study, plan, store)
        for run in plan.runs:
            record(store, run)
            pipe(path_of(store.run(run.id)))
        stores.append(str(store.root))
    assert ends(CALLS, str(study.path), *stores).endswith("all ended\n")


@pytest.mark.parametrize("name", ["checkpoint.pt", "encoder.pt", "claims/7.json", "init.json"])
def test_a_run_with_a_pipe_in_it_is_not_executed(tmp_path: Path, name: str) -> None:
    _, plan, store = make(tmp_path, SMALL)
    run = plan.of("finetune")[0]
    path = pipe(store.run(run.parents[0].id).path / name)
    with pytest.raises(StoreError) as caught:
        store.check_run(run)
    assert str(caught.value) == f"{path}: is not a regular file; remove it"


def test_a_checkpoint_that_is_a_pipe_is_skipped(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is damaged .is not a regular file. and skipped"):
        assert weights_file.read(pipe(tmp_path / "checkpoint.pt")) is None


def test_an_array_that_is_a_pipe_is_left_out(tmp_path: Path) -> None:
    import numpy as np

    def rows() -> list[Rows]:
        return [np.zeros((1, 2), "u1")]

    slot = CachedArray(tmp_path / "a", {"data": "x"}, (1, 2), np.dtype("u1"))
    pipe(slot.path)
    assert slot.open() is None
    assert slot.made(rows, lambda: None) is not None  # written in its place


def test_a_log_that_is_a_pipe_is_neither_read_nor_written(tmp_path: Path) -> None:
    log = pipe(tmp_path / "local-1-1.log")
    assert last_lines(log, 10) == []
    with pytest.raises(StoreError, match="is not a regular file"):
        open_log(log)


def test_of_a_large_log_the_end_is_read(tmp_path: Path) -> None:
    log = tmp_path / "10_1.out"
    log.write_text("".join(f"line {i}\n" for i in range(1_000_000)))
    with log.open("ab") as file:
        file.truncate(1 << 40)  # a sparse terabyte
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    assert last_lines(log, 1) == ["the end"]


def test_rows_of_metrics_that_are_a_pipe_are_refused(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, SMALL)
    folder = store.run(plan.runs[0].id)
    pipe(folder.metrics)
    with pytest.raises((XferError, atomic_files.OddFile), match="is not a regular file"):
        MetricsLog(folder, False, True, 0, 1).write(1, {"loss": 1.0})


def test_a_pipe_in_place_of_all_copies_of_the_code_is_told_with_what_to_remove(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "store")
    store.open()
    pipe(store.code)
    with pytest.raises(StoreError, match=rf"run: rm -rf {store.code}$"):
        take_snapshot(store)


@pytest.mark.parametrize("name", ["hpc_xfer/job.py", "code.json", "__main__.py", "numpy.py"])
def test_a_pipe_in_the_copy_of_the_code_is_replaced(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    snapshot = take_snapshot(store).path
    pipe(snapshot / name)
    take_snapshot(store)
    assert not (snapshot / name).is_fifo()


@pytest.mark.parametrize("what", ["grid", "site"])
def test_a_file_that_a_user_names_may_be_no_pipe(tmp_path: Path, what: str) -> None:
    study, _, store = make(tmp_path, SMALL)
    path = pipe(tmp_path / "pipe.yaml")
    call = f"""
import sys
from hpc_xfer import launch
from hpc_xfer.errors import XferError
try:
    launch.main([{str(path if what == "grid" else study.path)!r}, "--store", {str(store.root)!r},
                 *({["--site", str(path)] if what == "site" else []!r})])
except XferError as error:
    print(error)
"""
    assert f"{path}: cannot be read (is not a regular file); name a YAML file" in ends(call)


def test_a_figure_that_is_a_pipe_is_told_and_left_out(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    prepare_store(study, plan, store)
    for run in plan.runs:
        record(store, run)
    folder = store.study("one")
    collect(plan, store, folder.summary, folder)
    path = pipe(folder.figures / "theirs.png")
    report_study(study, folder)
    assert f"{path}: is not a regular file; set aside, not used" in set_aside.sentences()


def test_a_pipe_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, SMALL)
    path = pipe(store.study("one").tensorboard)
    with pytest.raises(StoreError, match=r"cannot be written \(File exists\)"):
        prepare_store(study, plan, store)
    assert path.is_fifo()


def test_odd_rows_of_metrics_end_them(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, SMALL)
    folder = store.run(plan.runs[0].id)
    folder.path.mkdir(parents=True)
    for odd in ("[" * 1_000_000, "[]", '{"step": "x"}', "{}"):
        folder.metrics.write_text(f'{{"step": 1}}\n{odd}\n{{"step": 2}}\n')
        MetricsLog(folder, False, True, 2, 1).close()
        assert folder.metrics.read_text() == '{"step": 1}\n'
