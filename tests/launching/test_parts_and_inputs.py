"""Only what the runs that are left to do read has to be there at a launch."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_xfer import launch
from hpc_xfer.errors import StudyError, XferError
from hpc_xfer.study.plan import Plan
from tests.fabricated import make, record_all, source

GRID = """
name: parts
pretrain:
  - {method: clip, arch: RN50, source: [sans, gone], samples: 500, epochs: 1, batch: 100}
  - {method: released, arch: RN50, weights: [lost]}
finetune:
  datasets: [digits, animals]
  shots: [1]
  mode: [lp]
resources: {pretrain: {probe: {dataset: digits}}}
"""
GONE = ["the site file has no source 'gone'", "lost.pt: ",
        "data set 'animals' is unknown"]  # fmt: skip
DryRun = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make(tmp_path, GRID)[1]


@pytest.fixture
def dry_run(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> DryRun:
    """Return the notes on inputs, and which of the three mistakes are told."""
    site = tmp_path / "site.yaml"
    site.write_text(
        json.dumps(
            {
                "sources": {"sans": str(source(tmp_path / "sans"))},
                "released": {"lost": "lost.pt"},
            }
        )
    )
    arguments = [str(tmp_path / "grid.yaml"), "--site", str(site), "--on", "local", "--dry-run",
                 "--json", "--store", str(tmp_path / "store")]  # fmt: skip

    def call(*options: str) -> tuple[str, list[str]]:
        try:
            launch.main([*arguments, *options])
        except XferError as error:
            if told := [told for told in GONE if told in str(error)]:
                return "", told
            raise
        notes = json.loads(capsys.readouterr().out)["notes"]
        return "; ".join(note for note in notes if note.startswith("not checked")), []

    return call


def test_all_inputs_of_a_whole_study_are_asked_for(dry_run: DryRun) -> None:
    assert dry_run() == ("", GONE)


def test_a_part_asks_for_its_own_inputs_and_names_what_was_not_checked(
    dry_run: DryRun, plan: Plan
) -> None:
    note = "not checked, because no run that is left to do reads them: "
    assert dry_run("--only", "source=sans,dataset=digits") == (
        f"{note}sources gone; weights lost; data sets animals", []
    )  # fmt: skip
    assert dry_run("--only", "source=sans") == ("", [GONE[2]])
    assert dry_run("--only", "source=gone,dataset=digits") == ("", [GONE[0]])
    assert dry_run("--only", "method=released,dataset=digits") == ("", [GONE[1]])
    assert dry_run("--only", "run=" + plan.of("pretrain")[0].id)[1] == []


def test_what_finished_runs_have_read_may_be_gone(
    dry_run: DryRun, plan: Plan, tmp_path: Path
) -> None:
    _, _, store = make(tmp_path, GRID)
    of_animals = {run.id for run in plan.of("finetune") if run.columns["dataset"] == "animals"}
    last = [run for run in plan.of("finetune") if run.columns["dataset"] == "digits"][-1]
    record_all(store, plan.of("pretrain"))
    for run in plan.of("pretrain"):
        store.run(run.id).encoder.touch()
    assert dry_run() == ("", [GONE[2]])  # a finished pre-training needs its source no more
    record_all(store, (run for run in plan.runs if run.id in of_animals))
    note, _ = dry_run()
    assert note.endswith(": sources sans, gone; weights lost; data sets animals")
    record_all(store, (run for run in plan.of("finetune") if run is not last))
    assert dry_run()[0] == note
    record_all(store, [last])
    assert dry_run() == ("", [])  # nothing is left to do


def test_a_mistake_that_the_data_does_not_decide_is_told_whatever_is_launched(
    tmp_path: Path, dry_run: DryRun
) -> None:
    part = ("--only", "source=sans,dataset=digits")
    assert dry_run(*part)[1] == []
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID.replace("arch: RN50, source", "arch: RN50, batch: 1, source", 1)
                    .replace(", batch: 100", ""))  # fmt: skip
    with pytest.raises(StudyError, match="1 leaves clip nothing to compare"):
        dry_run(*part)
