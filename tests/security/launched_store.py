"""A small launched study with every kind of file in its store, and the commands on it."""

import contextlib
import importlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.errors import XferError
from hpc_xfer.store import failures
from hpc_xfer.store.dataset_fingerprints import keep_first
from hpc_xfer.store.finished.finished_runs import FinishedRuns
from hpc_xfer.store.launched_study import prepare_store
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.ownership.server_clock import server_time
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Submission, read_ledger
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import atomic_files, provenance, set_aside
from tests import fabricated

GRID = """
name: one
pretrain: [{method: clip, arch: RN50, source: sans, samples: 800, epochs: 1, batch: 100}]
finetune:
  - {datasets: [digits], shots: [1], draws: 1, tune: {lr: [1e-4, 1e-3]}}
  - {datasets: [digits], shots: [1], draws: 1, mode: [lp]}
"""
SLURM = ("squeue", "scontrol", "sacct", "scancel", "sbatch", "sinfo")
COMMANDS = ("status", "collect", "launch", "cancel")


@dataclass(frozen=True)
class LaunchedStore:
    """A store in a folder, with a study `one`: two runs are done, one failed, one runs."""

    folder: Path
    plan: Plan
    store: Store

    @property
    def runs(self) -> list[str]:
        return [run.id for run in self.plan.runs]

    @property
    def files(self) -> dict[str, Path]:
        """A file of each kind."""
        parent, failed, running, probe = map(self.store.run, self.runs)
        study = self.store.study("one")
        return {
            "ledger": study.launches,
            "plan": study.plan,
            "manifest": next(study.packs.iterdir()),
            "record": parent.record,
            "record of a probe": probe.record,
            "error": failed.error,
            "claim": running.claims / "1.json",
            "progress": running.progress,
            "found held": running.found_held / "7.json",
            "lock": self.store.lock / "1.json",
            "finished": self.store.finished,
            "fingerprint": self.store.dataset_fingerprint("digits"),
        }

    @contextlib.contextmanager
    def restored(self) -> Iterator["LaunchedStore"]:
        """Put the files back at the end, and remove new studies and locks."""
        before = {path: path.read_bytes() for path in self.files.values()}
        folders = (self.store.all_studies, self.store.lock)
        known = {path for folder in folders for path in folder.iterdir()}
        set_aside.take()
        yield self
        for path in {path for folder in folders for path in folder.iterdir()} - known:
            path.unlink() if path.is_symlink() or path.is_file() else shutil.rmtree(path)
        for path, content in before.items():
            path.write_bytes(content)

    def call(self, module: str, *more: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command in this process, as its user sees them."""
        main = importlib.import_module(f"hpc_xfer.{module}").main
        out, err = io.StringIO(), io.StringIO()
        arguments = [str(self.folder / "grid.yaml"), "--store", str(self.store.root)]
        arguments += ["--site", str(self.folder / "site.yaml"), *more]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(arguments)
            except XferError as error:
                code = error.exit_code
                err.write(f"{error}\n")
        err.write("\n".join(set_aside.sentences()))
        return code, out.getvalue(), err.getvalue()

    def call_all(self) -> str:
        """Call every command that reads the store; return what they print."""
        shown = ""
        for module in COMMANDS:
            more = ["--dry-run", "--on", "local"] if module == "launch" else []
            code, out, err = self.call(module, *more)
            assert code in (0, 1, 2), (module, out, err)
            shown += out + err
        return shown


def make(folder: Path) -> LaunchedStore:
    """Fabricate the store through the real functions that write it."""
    folder.mkdir(parents=True, exist_ok=True)
    study, plan, store = fabricated.make(folder, GRID)
    if not (folder / "sans").exists():
        fabricated.source(folder / "sans", fields="txt png cls", samples=800)
    (folder / "site.yaml").write_text(json.dumps({"sources": {"sans": str(folder / "sans")}}))
    prepare_store(study, plan, store)
    ledger = read_ledger(store)
    for array in cut_into_arrays(plan):
        store.write_manifest("one", array, {"per_gpu": 1})
        name = f"pre.sans.one.{array.id}-{store.tag}.1"  # as a launch names it
        submission = Submission(
            "one", name, array.kind, array.id, len(array.packs), provenance.now(), "n1", "me"
        )
        ledger.record_intent(submission)
        ledger.record_submitted(submission, "10")
        ledger.record_confirmed("one", [name])
        ledger.record_cancelled(ledger.submissions[name], [0])
    ledger.record_node_failure("one", "n1", "killed", "10")
    parent, failed, running, probe = plan.runs
    fabricated.record(store, parent)
    fabricated.record(store, probe)
    store.run(parent.id).encoder.write_bytes(b"")
    failures.write(store.run(failed.id), "nan", "the loss is nan", ["a", "b"], job="10", node="n1")
    assert run_claims.take(store.run(running.id)) is not None
    folder_of = store.run(running.id)
    atomic_files.write_json(
        folder_of.progress,
        {"time": 1.7e9, "step": 3, "total": 9, "samples_per_second": 2.5, "eta_seconds": 60,
         "data_wait": 0.5, "loss": 1.0},
    )  # fmt: skip
    note = {"job": "7", "slurm_job_name": "x", "restarts": "0", "time": 1.7e9, "by": {}}
    atomic_files.write_json(folder_of.found_held / "7.json", note)
    claim = json.loads((folder_of.claims / "1.json").read_text())
    atomic_files.write_json(store.lock / "1.json", claim | {"released": True})
    keep_first(store, "digits", "0" * 64)
    later = FinishedRuns.open(store, store.result, lambda folder: server_time(folder) + 3)
    assert later.of(plan.runs) == {parent.id, probe.id}
    return LaunchedStore(folder, plan, store)
