"""The verdict on a rehearsal: what has to be there, and what makes it fail."""

from pathlib import Path

import pytest

from hpc_xfer.rehearsing.verdict import TABLES, judge
from hpc_xfer.reporting.report_study import report_study
from hpc_xfer.results import collect_tables
from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import terminal
from tests.fabricated import ONE_CELL, make, record_all

PRETRAINING_ALONE = """
name: alone
pretrain: [{method: clip, arch: RN50, source: sans, samples: 8000, epochs: 1, batch: 100}]
"""


def finish(store: Store, plan: Plan) -> None:
    record_all(store, plan.runs)
    for run in plan.of("pretrain"):
        store.run(run.id).encoder.touch()


def test_a_grid_of_pretrainings_alone_passes_without_figures(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, PRETRAINING_ALONE)
    folder = store.study(study.name)
    assert not judge(plan, store, study.name).is_passed
    finish(store, plan)
    collect_tables.collect(plan, store, folder.summary, folder)
    report_study(study, folder)
    verdict = judge(plan, store, study.name)
    assert verdict.is_passed
    assert [stage.name for stage in verdict.stages] == ["pre-training: clip", "tables", "report"]


def test_fine_tunings_without_figures_fail(tmp_path: Path) -> None:
    study, plan, store = make(tmp_path, ONE_CELL)
    finish(store, plan)
    folder = store.study(study.name)
    folder.summary.mkdir(parents=True)
    for name in TABLES:
        (folder.summary / name).write_text("run")
    folder.report.write_text("report")
    verdict = judge(plan, store, study.name)
    assert [stage.name for stage in verdict.stages if not stage.is_passed] == ["figures"]


def test_what_has_not_run_is_incomplete_and_has_not_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slurm did not answer, say, so that nothing was submitted, or not all."""
    study, plan, store = make(tmp_path, ONE_CELL)
    parent = plan.of("pretrain")[0]

    def told() -> str:
        judge(plan, store, study.name).show(terminal.console())
        return capsys.readouterr().out

    assert "rehearsal incomplete: 5 of 5 stages; launch it again" in told()
    failures.write(store.run(parent.id), "data", "no such shard", node="n1")
    failed = told()
    assert f"pre-training: clip: run {parent.id}: no such shard; see " in failed
    assert "rehearsal failed: 1 of 5 stages; incomplete: 4 of 5 stages" in failed
    record_all(store, [parent])
    store.run(parent.id).encoder.touch()
    assert "rehearsal incomplete: 4 of 5 stages; launch it again" in told()
    verdicts = [stage["verdict"] for stage in judge(plan, store, study.name).as_json()["stages"]]
    assert verdicts == ["passed", *["incomplete"] * 4]


def test_a_run_that_was_given_up_without_an_error_json_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its node could not start its job, again and again, so that no process was there to write."""
    study, plan, store = make(tmp_path, ONE_CELL)
    parent = plan.of("pretrain")[0]
    verdict = judge(plan, store, study.name, {parent.id: "node failure: job 7 ended"})
    assert [stage.verdict for stage in verdict.stages] == ["failed", *["incomplete"] * 4]
    verdict.show(terminal.console())
    told = capsys.readouterr().out
    assert f"pre-training: clip: run {parent.id}: node failure: job 7 ended\n" in told
    assert "rehearsal failed: 1 of 5 stages; incomplete: 4 of 5 stages" in told


def test_runs_outside_of_only_are_counted_and_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They will never run in this rehearsal, so it could not pass, however often it is launched."""
    study, plan, store = make(tmp_path, ONE_CELL)
    verdict = judge(plan, store, study.name, only=["method=clip"])
    assert verdict.stages[0].name == "pre-training: clip" and not verdict.is_passed
    finish(store, plan)
    collect_tables.collect(plan, store, store.study(study.name).summary)
    report_study(study, store.study(study.name))
    only = [f"run={plan.of('pretrain')[0].id}"]
    verdict = judge(plan, store, study.name, only=only)
    left_out = len(plan.of("finetune"))
    assert verdict.is_passed and verdict.as_json()["left_out"] == left_out
    assert [stage.name for stage in verdict.stages] == ["pre-training: clip", "tables", "report"]
    verdict.show(terminal.console())
    assert (
        "rehearsal passed: all stages of the part that --only selected; "
        f"{left_out} runs were not rehearsed"
    ) in capsys.readouterr().out
