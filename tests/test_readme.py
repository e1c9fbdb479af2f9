"""README, docs/ and CONTRIBUTING are true: files exist, links lead somewhere, examples load."""

import io
import re
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from hpc_xfer.__main__ import COMMANDS
from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StudyError
from hpc_xfer.study import plan_summary
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests import pages
from tests.conftest import ROOT

README = pages.text_of("README.md")
CONTRIBUTING = pages.text_of("CONTRIBUTING.md")
BLOCKS = {
    page: pages.fences(page, "yaml", "pretrain:") for page in ("docs/study.md", "docs/extending.md")
}


@pytest.mark.parametrize("page", ["README.md", "docs/study.md"])
def test_the_study_on_a_page_is_one(page: str, tmp_path: Path) -> None:
    grid = tmp_path / "size_scaling.yaml"
    grid.write_text(pages.fences(page, "yaml", "name:")[0])
    plan = make_plan(load_study(grid))
    # 2 sizes x 3 seeds and scratch; 3 data sets x 17 draws x 4 rates, and the probe of each draw
    assert (len(plan.of("pretrain")), len(plan.of("finetune"))) == (7, 7 * 3 * 17 * (4 + 1))


@pytest.mark.parametrize("block", [block for blocks in BLOCKS.values() for block in blocks])
def test_a_block_of_pretrainings_on_a_page_is_one(block: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "grids/archs", tmp_path / "archs")
    grid = tmp_path / "a.yaml"
    grid.write_text(f"name: a\n{block}")
    assert len(load_study(grid).pretrains) in (1, 3)


@pytest.mark.parametrize(
    ("page", "start", "store"),
    [
        ("README.md", "store: /scratch/${USER:-me}/hpc_xfer", "/scratch/ada/hpc_xfer"),
        ("docs/site.md", "store: /scratch/${USER:-me}/store", "/scratch/ada/store"),
    ],
)
def test_the_site_on_a_page_is_one(
    page: str, start: str, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ada")
    path = tmp_path / "site.yaml"
    path.write_text(pages.fences(page, "yaml", start)[0])
    found = load_site(path)
    assert found.store == store
    assert found.sources == {"laion": "/data/laion/shards"}


def test_the_site_of_the_readme_fits_its_study(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(pages.fences("README.md", "yaml", "store:")[0])
    (tmp_path / "grid.yaml").write_text(pages.fences("README.md", "yaml", "name:")[0])
    site, plan = load_site(tmp_path / "site.yaml"), make_plan(load_study(tmp_path / "grid.yaml"))
    assert {run.spec["dataset"] for run in plan.of("finetune")} == set(site.datasets)
    sources = {run.columns.get("source") for run in plan.of("pretrain")} - {None}
    assert sources == set(site.sources)


def test_the_clusters_of_the_page_are_those_of_the_site_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ada")
    shown = [fence for fence in pages.fences("docs/site.md", "yaml") if "slurm:" in fence]
    for text, name in zip(shown, ("gpu", "a100", "cpu"), strict=True):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        whole = load_site(ROOT / f"sbatch/sites/{name}.yaml").slurm.model_dump()
        part = load_site(path).slurm.model_dump(exclude_unset=True)
        lists = {"setup", "environment"}  # of which the page shows the first lines
        assert {k: v for k, v in part.items() if k not in lists and whole[k] != v and
                k != "relay"} == {}  # fmt: skip


def test_the_dry_run_of_the_demo_prints_what_the_page_shows() -> None:
    study = load_study(ROOT / "grids/demo/demo.yaml")
    console = Console(width=120, file=io.StringIO())
    with console.capture() as printed:
        console.print(plan_summary.render(study, make_plan(study), set()))
    lines = [line.rstrip() for line in printed.get().splitlines()]
    assert "\n".join(lines) + "\n" in pages.fences("docs/launch.md", "text")


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
    for page in ("README.md", "docs/study.md"):
        assert str(refused.value) + "\n" in pages.fences(page, "console")


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README + CONTRIBUTING)
    links = [link for link in links if "://" not in link and not link.startswith("#")]
    assert links
    assert [link for link in links if not leads_somewhere(link)] == []


def leads_somewhere(link: str) -> bool:
    """The file is there, and has the heading."""
    name, _, anchor = link.partition("#")
    if not (ROOT / name).exists():
        return False
    return not anchor or anchor in pages.anchors(name)


def test_every_file_that_pages_help_texts_and_scripts_name_exists() -> None:
    """Examples of messages, `grids/a.yaml:5: ...`, are left out: nobody made these mistakes."""
    scripts = [*ROOT.glob("sbatch/**/*.*"), *ROOT.glob("grids/**/*.yaml"), ROOT / "Makefile"]
    named_by = [ROOT / page for page in pages.PAGES if page != "docs/data.md"]  # that makes grids
    texts = [*named_by, *ROOT.glob("hpc_xfer/**/*.py"), *scripts]
    folders = "grids|sbatch|docs|benchmarks|tests|hpc_xfer"
    pattern = rf"(?<![\w/.-])(?:{folders})/[\w./-]*\.(?:yaml|json|py|sbatch|png)\b(?!:\d)"
    named = {name for path in texts for name in re.findall(pattern, path.read_text())}
    assert {"grids/demo/demo.yaml", "grids/size_scaling.yaml"} <= named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_every_file_of_the_recipes_for_contributors_exists() -> None:
    """They are named as they are below hpc_xfer/ or tests/."""
    named = set(re.findall(r"`((?:\w+/)+[\w.]+\.(?:py|j2))`", CONTRIBUTING))
    here = [ROOT, ROOT / "hpc_xfer", ROOT / "tests"]
    assert [name for name in sorted(named) if not any((at / name).exists() for at in here)] == []


def test_the_table_of_folders_names_each_folder_once() -> None:
    rows = pages.text_of("docs/internals.md").split("## Beside the package")[0]
    first = [row.split("|")[1] for row in rows.splitlines() if row.startswith("| `")]
    named = [name for cell in first for name in re.findall(r"`(\w+)/`", cell)]
    inside = {path.parent.name for path in (ROOT / "hpc_xfer").glob("*/__init__.py")}
    assert sorted(set(named)) == sorted(inside)
    parts = {path.parent.name for path in (ROOT / "hpc_xfer/compute").glob("*/__init__.py")}
    assert parts <= set(re.findall(r"`(\w+)/`", rows))


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_command_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"python -m hpc_xfer\.(\w+)", pages.text_of(page)))
    assert named <= set(COMMANDS)


def test_the_readme_has_each_command_that_people_type() -> None:
    rows = README.split("## Commands")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+) [A-Z.]", rows)) == set(COMMANDS) - {"relay", "job", "worker"}
