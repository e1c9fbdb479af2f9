# ruff: noqa: E501 (the screen is as wide as it is)
"""A study with a run in every state, as `status` sees it at one moment."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hpc_xfer.config.resources import FinetuneResources, PretrainResources, Resources
from hpc_xfer.monitoring.study_arguments import StudyArguments
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Element, Submission, read_ledger
from hpc_xfer.study.plan import Plan
from tests import tiny

SOURCE = "[bold]"  # a name, no mark-up
ONE, TWO = (tiny.pretraining("supervised", source=SOURCE, seed=seed) for seed in (0, 1))
FEW = tuple(tiny.finetuning(ONE, lr=lr) for lr in (1e-3, 2e-3, 3e-3, 4e-3))
MANY = tuple(tiny.finetuning(TWO, shots="full", lr=lr) for lr in (1e-3, 2e-3))
RESOURCES = Resources(
    pretrain=PretrainResources(minutes=60), finetune=FinetuneResources(minutes=10)
)
PLAN = Plan((ONE, TWO, *FEW, *MANY), RESOURCES)
WHEN = "2026-01-02T03:04:05+00:00"
# What `status` shows of `study_state` on a screen of 120 columns, without the sentences below.
TABLES_AT_120 = """\
pre-training
run           pre-training                  state           step  samples/s  waits  to go  job  node
425f0b02e627  supervised [bold] 256 seed 0  done
5dc77cc5589d  supervised [bold] 256 seed 1  running  1,200/5,000        812    20%  2.0 h  12   gpu[a-b]
fine-tuning
data set  shots  runs  done  running  starting  pending  failed  to go
digits        5     4     1        1         1                1  2 min
digits     full     2                                 2
running
run           fine-tuning                                                             step  samples/s  to go  job   node
75c210059d6a  supervised [bold] 256 seed 0 -> digits 5 shots, draw 0, ft, lr   1,200/5,000        812  2 min  13_0  n3
              0.002
fa637f256f58  supervised [bold] 256 seed 0 -> digits 5 shots, draw 0, ft, lr      starting                    14_0  n4
              0.004
"""


def submission(job: str, name: str = "", elements: int | None = None, **more: Any) -> Submission:
    known = {"study": "s", "kind": "finetune", "batch": "b", "time": WHEN, "host": "h"}
    return Submission(
        **{**known, "name": name or job, "elements": elements, "user": "ada", "job": job, **more}
    )


def element(job: str, elements: int | None = None) -> Element:
    return Element(submission(job, elements=elements), 0, 0)


def line(job: str, state: str, **more: Any) -> QueueLine:
    return QueueLine(**{"job": job, "raw": job, "name": job, "state": state, "user": "ada", **more})


def beat(seconds: float, waited: float = 0.0) -> dict[str, Any]:
    return {
        "step": 1200, "total": 5000, "samples_per_second": 812.4, "eta_seconds": seconds,
        "data_wait": waited, "age": 0.0,
    }  # fmt: skip


def study_state(folder: Path, launched: bool = True) -> StudyState:
    """One pre-training done, one running; fine-tunings of most kinds."""
    store = Store(folder)
    if launched:
        plan = store.study("s").plan
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text("{}")
    status = {
        ONE.id: RunStatus("done", seconds=3600.0),
        TWO.id: RunStatus(
            "running", "None", element=element("12"), progress=beat(7200, 0.2),
            line=line("12", "RUNNING", nodes="gpu[a-b]"),
        ),
        FEW[0].id: RunStatus("done", seconds=120.0),
        FEW[1].id: RunStatus(
            "running", element=element("13", 1), line=line("13_0", "RUNNING", nodes="n3"),
            progress=beat(110),
        ),
        FEW[2].id: RunStatus("failed", "nan", "the loss is nan at step 7"),
        FEW[3].id: RunStatus(
            "starting", element=element("14", 1), line=line("14_0", "RUNNING", nodes="n4")
        ),
        MANY[0].id: RunStatus("pending", "Dependency"),
        MANY[1].id: RunStatus("pending", "Dependency"),
    }  # fmt: skip
    return StudyState(
        "s", PLAN, store, read_ledger(store), Queue(), "", status, StudyArguments("a.yaml")
    )


def all_in(state: StudyState, status: RunStatus) -> StudyState:
    """The same study with every run in one state."""
    return replace(state, status={run.id: status for run in state.plan.runs})
