"""The end of a launch repeats what failed and says what to do, in few lines."""

from pathlib import Path

import pytest

from hpc_xfer.config.resources import Resources
from hpc_xfer.monitoring.failure_summary import FailureSummary, failed_studies
from hpc_xfer.monitoring.study_arguments import StudyArguments
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from tests import fabricated, tiny

GRID = StudyArguments("a.yaml")
ONE, TWO = (tiny.pretraining("supervised", seed=seed) for seed in (0, 1))
TUNED = tiny.finetuning(TWO, lr=1e-3)


def test_nothing_is_said_where_nothing_failed(tmp_path: Path) -> None:
    assert FailureSummary(Plan((ONE,), Resources()), Store(tmp_path), {}, GRID).lines() == []


def test_each_class_has_its_meaning_its_runs_and_what_to_do(tmp_path: Path) -> None:
    plan = Plan((ONE, TWO, TUNED), Resources())
    failed = {ONE.id: "nan: the loss is nan\nat step 7", TWO.id: "gpu: an ECC error"}
    logs = {ONE.id: Path("logs/local-1-1.log")}
    summary = FailureSummary(plan, Store(tmp_path), failed, GRID, logs)
    assert summary.lines() == [
        "",
        "2 runs failed; 1 more waits for what failed:",
        "nan: 1 run (the loss was not finite; a lower learning rate helps)",
        f"  {ONE.id}  supervised sans 256 seed 0",
        "    the loss is nan",
        "    log: logs/local-1-1.log",
        "gpu: 1 run (the GPU or its driver failed; the process ended)",
        f"  {TWO.id}  supervised sans 256 seed 1",
        "    an ECC error",
        f"what to do: look closer: python -m hpc_xfer.status a.yaml --why {ONE.id}",
        "  a new launch tries again what failed by `gpu`: python -m hpc_xfer.launch a.yaml",
        "  `nan` would fail again; fix the cause, then: python -m hpc_xfer.launch a.yaml "
        "--retry-failed",
    ]


def test_runs_behind_an_earlier_failure_are_counted_but_for_those_that_are_done(
    tmp_path: Path,
) -> None:
    done = tiny.finetuning(TWO, lr=2e-3)
    store = Store(tmp_path)
    fabricated.record(store, done)
    plan = Plan((TWO, TUNED, done), Resources())
    lines = FailureSummary(plan, store, {TWO.id: "nan: the loss is nan"}, GRID).lines()
    assert lines[1] == "1 run failed; 1 more waits for what failed:"


def test_thousands_of_failures_are_grouped(tmp_path: Path) -> None:
    runs = [tiny.finetuning(ONE, lr=i / 1e4) for i in range(1, 3001)]
    plan = Plan((ONE, *runs), Resources())
    failed = dict.fromkeys((run.id for run in runs), "data: shard 7 is gone")
    lines = FailureSummary(plan, Store(tmp_path), failed, GRID).lines()
    assert len(lines) < 20
    assert "  ... and 2,995 more of this class; `status` has all" in lines


def test_the_end_of_several_studies_names_those_whose_lines_have_scrolled_away() -> None:
    asked = [StudyArguments(f"{name}.yaml --site s.yaml") for name in "abc"]
    local: dict[str, object] = {"study": "a", "failed": {"1": "nan", "2": "nan"}, "blocked": ["3"]}
    slurm: dict[str, object] = {"study": "b", "given_up": {"1": "nan"}, "refused": {}, "blocked": 2}
    well: dict[str, object] = {"study": "c", "failed": {}}
    assert list(failed_studies(asked, [local, slurm, well])) == [
        "",
        "runs failed in these studies:",
        "  a: 2 runs failed; look closer: python -m hpc_xfer.status a.yaml --site s.yaml",
        "  b: 1 run failed; look closer: python -m hpc_xfer.status b.yaml --site s.yaml",
    ]
    assert list(failed_studies(asked[2:], [local])) == []  # its own lines are the last
    assert list(failed_studies(asked, [well, local])) == []  # Ctrl-C ended the launch there


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (StudyArguments("a.yaml", rehearsal=True), "--rehearse"),
        (StudyArguments("a.yaml", rehearsal=True, stand_ins=True), "--rehearse --stand-ins"),
    ],
)
def test_after_a_rehearsal_status_finds_it_and_a_launch_begins_another(
    tmp_path: Path, arguments: StudyArguments, options: str
) -> None:
    plan, failed = Plan((ONE,), Resources()), {ONE.id: "gpu: an ECC error"}
    look, again = FailureSummary(plan, Store(tmp_path), failed, arguments).lines()[-2:]
    assert look.endswith(f"python -m hpc_xfer.status a.yaml --rehearsal --why {ONE.id}")
    assert again.endswith(f"python -m hpc_xfer.launch a.yaml {options}")
