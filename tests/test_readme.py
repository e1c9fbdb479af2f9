"""README and CONTRIBUTING are true: files exist, links lead somewhere, examples load."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from hpc_xfer.__main__ import COMMANDS
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StudyError
from hpc_xfer.study import plan_summary
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def fences(language: str, start: str = "") -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return [fence for fence in found if fence.startswith(start)]


def test_the_study_in_the_readme_is_one(tmp_path: Path) -> None:
    grid = tmp_path / "size_scaling.yaml"
    grid.write_text(fences("yaml", "name:")[0])
    plan = make_plan(load_study(grid))
    # 2 sizes x 3 seeds and scratch; 3 data sets x 17 draws x 4 rates, and the probe of each draw
    assert (len(plan.of("pretrain")), len(plan.of("finetune"))) == (7, 7 * 3 * 17 * (4 + 1))


@pytest.mark.parametrize("block", fences("yaml", "pretrain:"))
def test_a_block_of_pretrainings_in_the_readme_is_one(block: str, tmp_path: Path) -> None:
    grid = tmp_path / "a.yaml"
    grid.write_text(f"name: a\n{block}")
    assert len(load_study(grid).pretrains) == 3


def test_the_site_in_the_readme_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")
    path = tmp_path / "site.yaml"
    path.write_text(fences("yaml", "store: /scratch/${USER:-me}/store")[0])
    found = load_site(path)
    assert found.store == "/scratch/ada/store"
    assert found.sources == {"laion": "/data/laion/shards"}


def test_the_clusters_in_the_readme_are_those_of_the_site_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ada")
    shown = [fence for fence in fences("yaml") if "slurm:" in fence]
    for text, name in zip(shown, ("gpu", "a100", "cpu"), strict=True):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        whole = load_site(ROOT / f"sbatch/sites/{name}.yaml").slurm.model_dump()
        part = load_site(path).slurm.model_dump(exclude_unset=True)
        lists = {"setup", "environment"}  # of which the README shows the first lines
        assert {k: v for k, v in part.items() if k not in lists and whole[k] != v and
                k != "relay"} == {}  # fmt: skip


def test_the_dry_run_of_the_demo_prints_what_the_readme_shows() -> None:
    study = load_study(ROOT / "grids/demo.yaml")
    console = Console(width=120, file=io.StringIO())
    with console.capture() as printed:
        console.print(plan_summary.render(study, make_plan(study), set()))
    lines = [line.rstrip() for line in printed.get().splitlines()]
    assert "\n".join(lines) + "\n" in fences("text")


def test_the_mistakes_in_the_readme_read_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids/a.yaml").write_text(
        "name: a\n"
        "pretrain:\n"
        "  - method: clip\n"
        "    arch: RN50\n"
        "    lr: -0.1\n"
        "    source: laion\n"
        "    samples: 2000\n"
        "    epochs: 1\n"
        "  - {method: simclr, arch: RN50, source: laion, samples: 2000, epochs: 1, temprature: 1}\n"
        "finetune:\n"
        "  datasets: [digits]\n"
        "  shots: [1]\n"
        "  tune:\n"
        "    lr: [1e-3]\n"
    )
    with pytest.raises(StudyError) as refused:
        load_study(Path("grids/a.yaml"))
    assert str(refused.value) + "\n" in fences("console")


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README + CONTRIBUTING)
    links = [link for link in links if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_file_that_readme_help_texts_and_scripts_name_exists() -> None:
    """Examples of messages, `grids/a.yaml:5: ...`, are left out: nobody made these mistakes."""
    scripts = [*ROOT.glob("sbatch/**/*.*"), *ROOT.glob("grids/*.yaml"), ROOT / "Makefile"]
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("hpc_xfer/**/*.py"), *scripts]
    folders = "grids|sbatch|docs|benchmarks|tests|hpc_xfer"
    pattern = rf"(?<![\w/.-])(?:{folders})/[\w./-]*\.(?:yaml|json|py|sbatch|png)\b(?!:\d)"
    named = {name for path in texts for name in re.findall(pattern, path.read_text())}
    assert {"grids/demo.yaml", "grids/size_scaling.yaml"} <= named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_every_file_of_the_recipes_for_contributors_exists() -> None:
    """They are named as they are below hpc_xfer/ or tests/."""
    named = set(re.findall(r"`((?:\w+/)+[\w.]+\.(?:py|j2))`", CONTRIBUTING))
    here = [ROOT, ROOT / "hpc_xfer", ROOT / "tests"]
    assert [name for name in sorted(named) if not any((at / name).exists() for at in here)] == []


def test_the_table_of_folders_names_each_folder_once() -> None:
    rows = README.split("## Where to find what")[1].split("| beside the package")[0]
    first = [row.split("|")[1] for row in rows.splitlines() if row.startswith("| `")]
    named = [name for cell in first for name in re.findall(r"`(\w+)/`", cell)]
    inside = {path.parent.name for path in (ROOT / "hpc_xfer").glob("*/__init__.py")}
    assert sorted(set(named)) == sorted(inside)
    parts = {path.parent.name for path in (ROOT / "hpc_xfer/compute").glob("*/__init__.py")}
    assert parts <= set(re.findall(r"`(\w+)/`", rows))


def test_every_command_of_the_readme_exists() -> None:
    named = set(re.findall(r"python -m hpc_xfer\.(\w+)", README))
    assert named
    assert named <= set(COMMANDS)
