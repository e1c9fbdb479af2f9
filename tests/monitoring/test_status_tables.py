"""The tables and sentences that `status` shows, compared whole."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.config.resources import FinetuneResources, PretrainResources, Resources
from hpc_xfer.monitoring import status_tables
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.scheduling.run_states import RunStatus
from hpc_xfer.slurm.parsing import Queue, QueueLine
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import Element, Submission, read_ledger
from hpc_xfer.study.labels import pretrain_labels
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import terminal
from tests import tiny

SOURCE = "[bold]"  # a name, no mark-up
ONE, TWO = (tiny.pretraining("supervised", source=SOURCE, seed=seed) for seed in (0, 1))
FEW = tuple(tiny.finetuning(ONE, lr=lr) for lr in (1e-3, 2e-3, 3e-3))
MANY = tuple(tiny.finetuning(TWO, shots="full", lr=lr) for lr in (1e-3, 2e-3))
RESOURCES = Resources(
    pretrain=PretrainResources(minutes=60), finetune=FinetuneResources(minutes=10)
)
PLAN = Plan((ONE, TWO, *FEW, *MANY), RESOURCES)


def job(name: str, elements: int | None = None) -> Element:
    one = Submission("s", name, "finetune", "b", elements, "2026-01-02T03:04:05+00:00", "h", "ada")
    return Element(replace(one, job=name), 0, 0)


def beat(seconds: float, waited: float = 0.0) -> dict[str, Any]:
    return {
        "step": 1200, "total": 5000, "samples_per_second": 812.4, "eta_seconds": seconds,
        "data_wait": waited, "time": time.time() + 0.5,
    }  # fmt: skip


def study_state(folder: Path) -> StudyState:
    """One pre-training done, one running; fine-tunings of every kind."""
    store = Store(folder)
    line = QueueLine("12", "12", "pre", "RUNNING", nodes="gpu[a-b]")
    pack = QueueLine("13_0", "13", "ft5", "RUNNING", nodes="n3")
    status = {
        ONE.id: RunStatus("done", seconds=3600.0),
        TWO.id: RunStatus(
            "running", "None", element=job("12"), line=line, progress=beat(7200, 0.2)
        ),
        FEW[0].id: RunStatus("done", seconds=120.0),
        FEW[1].id: RunStatus("running", element=job("13", 1), line=pack, progress=beat(110)),
        FEW[2].id: RunStatus("failed", "nan", "the loss is nan at step 7"),
        MANY[0].id: RunStatus("pending", "Dependency"),
        MANY[1].id: RunStatus("pending", "Dependency"),
    }
    labels = pretrain_labels(PLAN.of("pretrain"))
    return StudyState("s", PLAN, store, read_ledger(store), Queue(), "", status, labels)


SHOWN = """\
pre-training
run           pre-training           state           step  samples/s  waits  to go  job  node      why
425f0b02e627  supervised [bold] 256  done
5dc77cc5589d  supervised [bold] 256  running  1,200/5,000        812    20%  2.0 h  12   gpu[a-b]
fine-tuning
data set  shots  runs  done  running  pending  blocked  failed  lost  missing  to go
digits        5     3     1        1                         1                 2 min
digits     full     2                       2
running
run           fine-tuning                                                           step  samples/s  to go  job   node
75c210059d6a  supervised [bold] 256 -> digits 5 shots, draw 0, ft, lr 0.002  1,200/5,000        812  2 min  13_0  n3
7 runs: 2 done, 2 running, 2 pending, 1 failed
about 2.0 h to go with 2 processes, as now
waiting: 2 for Dependency
supervised [bold] 256 waits for data 20% of its time: more resources.pretrain.workers or faster storage would speed it
up
failed: nan: 1 (the loss was not finite; a lower learning rate helps)
  the loss is nan at step 7
  a78d14cc65e3; more with --why RUN"""  # noqa: E501


def test_a_study_in_the_middle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.console().print(status_tables.render(study_state(tmp_path)))
    shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert shown == SHOWN


def test_a_study_that_is_over_tells_where_its_report_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over = replace(study_state(tmp_path), status={run.id: RunStatus("done") for run in PLAN.runs})
    report = over.store.study("s").report
    report.parent.mkdir(parents=True)
    report.touch()
    terminal.console().print(status_tables.render(over), soft_wrap=True)
    last = capsys.readouterr().out.rstrip().splitlines()[-2:]
    assert last == ["7 runs: 7 done", f"report: {report}"]
