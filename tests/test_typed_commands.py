"""Each command that README, docs/, heads of grids and --help show is run by a test.

Here, or by the file that ELSEWHERE names. Of programs of others, and of make, nothing is run:
`.ci/run` calls `make slurm`, `chromium`, `lint`, `docs` and `test`.
"""

import glob
import re
import shutil
import sys
from pathlib import Path

import pytest

from hpc_xfer.__main__ import main_of
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests import page_world, pages
from tests.conftest import ROOT

# Commands that need Slurm, a network, a GPU or minutes: the test that runs them, and words in it.
ELSEWHERE = [
    (r"hpc_xfer\.doctor .*\.yaml", "tests/scheduling/test_cluster_check.py", '"doctor"'),
    (r"--rehearse --stand-ins", "tests/rehearsing/test_rehearsal_on_slurm.py", "--stand-ins"),
    (r"--rehearse$", "tests/test_launch_on_slurm.py", "--rehearse"),
    (r"status .*--rehearsal --watch", "tests/study/test_stand_in_study.py", '"--watch"'),
    (r"status .*--rehearsal", "tests/test_launch_on_slurm.py", '"--rehearsal"'),
    (r"cancel .*--rehearsal", "tests/test_launch_on_slurm.py", '"cancel", "--json", "--rehearsal"'),
    (r"--by-hand", "tests/scheduling/test_sbatch_folder.py", '"--by-hand"'),
    (r"--job \d", "tests/monitoring/test_status_on_slurm.py", '"--job"'),
    (r"cancel .*--removed", "tests/launching/test_removed_runs.py", '"--removed"'),
    (r"cancel .*--only", "tests/scheduling/test_chain_on_slurm.py", '"cancel", "--json", "--only"'),
    (r"cancel .*\.yaml$", "tests/test_launch_on_slurm.py", '"cancel"'),
    (r"datasets fetch", "tests/test_datasets.py", '"fetch"'),
    (r"shards characters", "tests/conftest.py", '"characters"'),
    (r"shards check", "tests/test_data_page.py", "docs/data.md"),
    (r"shards make torchvision:", "tests/compute/shard_tools/test_torchvision_input.py", ""),
    (r"hpc_xfer\.job ", "tests/execution/jobs_without_slurm.py", '"hpc_xfer.job"'),
    (r"hpc_xfer\.relay ", "tests/faults.py", '"hpc_xfer.relay"'),
    (r"hpc_xfer\.worker ", "tests/compute/pretraining/test_task.py", '"hpc_xfer.worker"'),
    (r"python -m tests\.cluster start", "tests/test_cluster.py", "start"),
    (r"python -m tests\.messages", "tests/test_messages.py", ""),
    (r"python -m benchmarks\.gpu", "tests/test_gpu_benchmark.py", ""),
    (
        r"python -m hpc_xfer --help|hpc_xfer --(help|version)",
        "tests/test_main_command.py",
        "--help",
    ),
]
OURS = re.compile(r"(\w+=\S+ )?(python -m hpc_xfer|hpc_xfer |python docs/)")


def lines() -> list[str]:
    """Every command of ours, once, in the order of pages; docs/data.md has its own test."""
    shown = [
        line for page in pages.PAGES if page != "docs/data.md" for line in pages.commands(page)
    ]
    shown += pages.commands_of_heads() + pages.examples_of_help()
    shown = [re.split(r"\s+#", line)[0] for line in shown]
    shown = [re.sub(r'^(eval|echo) .*?"?\$\((.*?)\)"?.*', r"\2", line) for line in shown]
    return list(dict.fromkeys(line for line in shown if OURS.match(line)))


HERE = [line for line in lines() if not any(re.search(each, line) for each, *_ in ELSEWHERE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("world")
    page_world.lay_out(place)
    return place


@pytest.mark.parametrize("line", HERE)
def test_a_command_of_a_page_runs(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, where no Slurm is. What would train for minutes is only planned."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("HPC_XFER_SITE", str(folder / "site.yaml"))
    monkeypatch.setenv("HPC_XFER_DEMO", str(folder / "demo"))
    for shown, here in (("31cda3c3d227", page_world.a_run(folder)), ("00099}", "00001}")):
        line = line.replace(shown, here)
    [words] = pages.simple_commands(line)
    if words[1].startswith("docs/"):
        assert page_world.convert(folder, words[1:]) == 0
        return
    at = words.index("grids/*.yaml") if "grids/*.yaml" in words else None
    if at is not None:
        words[at : at + 1] = sorted(glob.glob("grids/*.yaml"))
    name, rest = _command(words)
    if name == "launch" and any("grids/demo/" in word or word == "--set" for word in rest):
        rest += [] if "--dry-run" in rest else ["--dry-run"]
    if name == "report" and rest != [
        "--help"
    ]:  # pages collect first; here commands come in any order
        before = [word for word in rest if word != "--public"]
        assert main_of("collect")(before) == 0
        capsys.readouterr()
    if rest[:1] == ["make"]:  # pages make one folder with several options
        shutil.rmtree("sources/photos", ignore_errors=True)
    monkeypatch.setattr(sys, "argv", [name, *rest])
    try:
        code = main_of(name)(rest)
    except SystemExit as end:
        code = int(end.code or 0)
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    assert told.out or told.err


def _command(words: list[str]) -> tuple[str, list[str]]:
    """`python -m hpc_xfer.status GRID` or `hpc_xfer status GRID` -> ("status", ["GRID"])."""
    rest = words[1:] if words[0] == "hpc_xfer" else words[2:]
    first, *others = rest
    name = first.removeprefix("hpc_xfer.")
    return (others[0], others[1:]) if name == "hpc_xfer" else (name, others)


@pytest.mark.parametrize(("pattern", "place", "words"), ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(pattern: str, place: str, words: str) -> None:
    assert any(re.search(pattern, line) for line in lines() + typed_elsewhere()), "no such command"
    path = ROOT / place
    texts = path.rglob("*.py") if path.is_dir() else [path]
    assert any(words in text.read_text(encoding="utf-8") for text in texts)


def typed_elsewhere() -> list[str]:
    """Commands of tests and benchmarks, which the package has not."""
    return [line for page in pages.PAGES for line in pages.commands(page)]


@pytest.mark.parametrize("line", [*pages.commands_of_heads(), *pages.examples_of_help()])
def test_a_command_of_a_head_or_of_help_is_understood_by_its_own_parser(line: str) -> None:
    for words in pages.simple_commands(line):
        assert pages.complaint(words) is None


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_the_head_of_a_grid_of_the_demo_tells_its_runs(name: str) -> None:
    path = ROOT / f"grids/demo/{name}.yaml"
    head = path.read_text().split("\nname:")[0]
    plan = make_plan(load_study(path))
    assert f"{len(plan.of('finetune'))} fine-tunings" in head
    assert re.search(rf"# {len(plan.of('pretrain'))} (encoders|pre-trainings)", head)
