"""docs/commands.md is true: each command in it prints what the page shows."""

import shutil
import sys
from pathlib import Path

import pytest

from hpc_xfer.__main__ import COMMANDS, main_of
from hpc_xfer.__main__ import main as without_command
from hpc_xfer.errors import XferError
from hpc_xfer.monitoring.failure_summary import FailureSummary
from hpc_xfer.monitoring.study_arguments import StudyArguments
from hpc_xfer.store import failures
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run, make_plan
from hpc_xfer.study.study_file import load_study
from tests import fabricated, pages, tiny
from tests.conftest import ROOT
from tests.shown_outputs import fits, typed

PAGE = "docs/commands.md"
GOOD = """
name: good
question: Does it survive?
pretrain:
  - {method: clip, arch: glyph.json, source: sans, samples: 512, epochs: 4, batch: 64}
  - {method: scratch, arch: glyph.json}
finetune: {datasets: [digits], shots: [1], draws: 1, mode: [lp]}
resources:
  pretrain: {minutes: 1, workers: 0}
  finetune: {minutes: 0.02, target_minutes: 0.1}
"""
BAD = GOOD.replace("batch: 64", "batch: 64, lr: 1e30").replace("name: good", "name: bad")
NAN = "the loss is nan at step 20; lower lr"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `launch good.yaml` and `launch bad.yaml` left, with made-up results."""
    place = tmp_path_factory.mktemp("typed")
    shutil.copy(ROOT / "grids/archs/glyph.json", place)
    (place / "site.yaml").write_text("store: store\nsources: {sans: sans}\n")
    tiny.source(place / "sans", samples=512)
    store = Store(place / "store")
    for name, text in (("good", GOOD), ("bad", BAD)):
        (place / f"{name}.yaml").write_text(text)
        for run in plan_of(place, name).runs:
            if diverges(run) or any(map(diverges, run.parents)):
                continue
            fabricated.record(store, run)
            if run.kind == "pretrain":
                store.run(run.id).encoder.touch()
    [bad] = filter(diverges, plan_of(place, "bad").runs)
    trace = ["Traceback (most recent call last):", "  ..."]
    failures.write(store.run(bad.id), "nan", NAN, trace, node="gpu-03")
    return place


def plan_of(folder: Path, name: str) -> Plan:
    return make_plan(load_study(folder / f"{name}.yaml"))


def diverges(run: Run) -> bool:
    return getattr(run.recipe, "lr", None) == 1e30


@pytest.fixture(scope="module")
def launched(folder: Path) -> Path:
    """Both studies launched: all runs are done or left out, so this collects and reports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("good", "bad"):
            main_of("launch")([f"{name}.yaml", "--site", "site.yaml", "--on", "local"])
    return folder


@pytest.fixture
def here(launched: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the page is typed, on a machine without Slurm, 120 columns wide."""
    monkeypatch.chdir(launched)
    monkeypatch.setenv("PATH", str(launched))
    monkeypatch.setenv("COLUMNS", "120")
    return launched


def printed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What a command prints, then its errors; in this process."""
    told = ""
    if words[1] in COMMANDS:
        monkeypatch.setattr(sys, "argv", [" ".join(words[:2]), *words[2:]])
        try:
            main_of(words[1])(words[2:])
        except SystemExit:
            pass
        except XferError as error:
            told = "\n".join(error.sentences)
    else:
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            without_command()
    done = capsys.readouterr()
    lines = (done.out + done.err + told).replace(f"{Path.cwd()}/", "").splitlines()
    return [line.rstrip() for line in lines if line.strip() and not line.startswith("indexing: ")]


SHOWN = [each for fence in pages.fences(PAGE, "text") for each in typed(fence)]


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_command_prints_what_the_page_shows(
    command: str,
    shown: list[str],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    [words] = pages.simple_commands(command)
    lines = printed(words, monkeypatch, capsys)
    assert fits([line for line in shown if line], lines), "\n".join([f"$ {command}", *lines])


def test_the_end_of_a_launch_with_a_failure_reads_as_the_page_shows(here: Path) -> None:
    plan = plan_of(here, "bad")
    [bad] = filter(diverges, plan.of("pretrain"))
    summary = FailureSummary(
        plan, Store(Path("store")), {bad.id: f"nan: {NAN}"},
        StudyArguments("bad.yaml --site site.yaml"),
        {bad.id: Path("store/studies/bad/logs/local-9759-1.log")},
    )  # fmt: skip
    [shown] = [fence for fence in pages.fences(PAGE, "text") if fence.startswith("1 run failed")]
    assert [line for line in summary.lines() if line] == shown.splitlines()


def test_the_page_has_a_heading_for_each_command() -> None:
    headings = {line[3:] for line in pages.text_of(PAGE).splitlines() if line.startswith("## ")}
    named = {name for heading in headings for name in heading.split(", ")}
    assert set(COMMANDS) <= named
