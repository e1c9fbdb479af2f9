"""Variables of the environment are expanded in site files alone, and their values shown nowhere."""

import json
import os
import re
from pathlib import Path

import pytest

from hpc_xfer.config.site import load_site
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.slurm.batch_script import script_text, shown_script
from hpc_xfer.slurm.request import Request
from hpc_xfer.store.ownership import site_variables
from hpc_xfer.store.store import Store
from hpc_xfer.study.study_file import load_study
from tests.faults import SlurmStudy
from tests.security.conftest import Neighbor

SECRET = "s3cr3t-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789"
GRID = """\
name: study
question: {question}
pretrain:
  - {{method: scratch, arch: RN50}}
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)


def written(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["${TOKEN}", "is it ${TOKEN:-x}?"])
def test_a_grid_that_names_a_variable_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID.format(question=text))
    with pytest.raises(StudyError) as refused:
        load_study(path)
    assert str(refused.value) == (
        f"{path}:2: question: ${{TOKEN}} is not expanded here, but in site files alone; "
        "write the value itself"
    )


def test_a_stored_grid_is_read_as_it_stands(tmp_path: Path) -> None:
    """A member of the lab may write into it, and the relay of its user reads it."""
    study = load_study(tmp_path / "grid.yaml", GRID.format(question="${TOKEN}"))
    assert study.question == "${TOKEN}"


@pytest.mark.parametrize(
    "line",
    [
        "partition: '${TOKEN} x'",
        "gpu_option: '${TOKEN}'",
        "gpu_option: 'of some length ${TOKEN}'",
        "cluster: 'a ${TOKEN}'",
        "environment: {HPC_XFER_DEVICE: '${TOKEN}'}",
        "environment: {A: 12345}",
        "options: {comment: '${TOKEN} \"x'}",
        "retries: '${TOKEN}'",
    ],
)
def test_a_mistake_in_a_site_file_is_told_without_the_value(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"slurm:\n  {line}\n")
    with pytest.raises(StudyError) as refused:
        load_site(path)
    assert not re.search("s3cr|0123|12345", str(refused.value))
    assert str(refused.value).startswith(f"{path}:") and "\n" not in str(refused.value)


SITE = """\
slurm:
  gpu_option: none
  environment: {A_TOKEN: "${TOKEN}", OTHER: in clear}
  setup: ["module load cuda", "export B=${TOKEN}", "login --with ${TOKEN}", "C='in clear' run"]
"""


def test_a_script_is_shown_without_values(tmp_path: Path) -> None:
    slurm = load_site(written(tmp_path, SITE)).slurm
    request = Request("x", ("true",), tmp_path, 1)
    assert script_text(request, slurm).count(SECRET) == 3
    shown = shown_script(request, slurm)
    assert SECRET not in shown and "in clear" not in shown
    for line in ("module load cuda", "export B=***", "login --with ${TOKEN}", "C=*** run"):
        assert f"\n{line}\n" in shown
    assert "\nexport A_TOKEN='***'\n" in shown


@pytest.mark.parametrize("way", ["--dry-run", "--by-hand"])
def test_what_a_launch_prints_and_writes_holds_no_value(
    tmp_path: Path, shards: Path, way: str
) -> None:
    study = SlurmStudy(tmp_path, shards, method="scratch")
    site = json.loads(study.site.read_text())
    site["slurm"] |= {"environment": {"A": "${TOKEN}"}, "setup": ["export B=${TOKEN}"]}
    study.site.write_text(json.dumps(site))
    assert SECRET not in study.call("launch", "--on", "slurm", way)
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in read_text(path)]
    assert [path.name for path in holders] == [f".site_variables.{os.geteuid()}.json"] * (
        way == "--by-hand"
    )
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in holders)


def read_text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def test_jobs_see_the_site_of_the_launch_whatever_their_node_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "sources: {a: '${TOKEN}/x', b: '/${UNSET_9:-y}', c: '/${LATER:-z}'}\n")
    store = Store(tmp_path / "store")
    site_variables.write(store, "study", load_site(path).variables)
    for name in ("TOKEN", "UNSET_9"):
        monkeypatch.setenv(name, "of the node")
    site = load_site(path, site_variables.read(store, "study"))
    assert site.sources == {"a": f"{tmp_path}/{SECRET}/x", "b": "/y", "c": "/z"}
    assert site_variables.read(store, "another study") == {}


def test_a_neighbor_reads_no_value_and_gives_none(
    lab: Path, neighbor: Neighbor, tmp_path: Path
) -> None:
    store = Store(lab / "store")
    site_variables.write(store, "study", {"TOKEN": SECRET})
    path = store.study("study").site_variables(os.geteuid())
    assert SECRET not in neighbor.python(f"print(open({str(path)!r}).read())")
    os.chmod(path.parent, 0o777)
    planted = json.dumps({"TOKEN": "/of/the/neighbor"})
    told = neighbor.python(
        f"import os; os.remove({str(path)!r}); open({str(path)!r}, 'w').write({planted!r})"
    )
    assert told == ""
    with pytest.raises(StoreError, match=r"user 64123 may write to it; remove it, then launch"):
        site_variables.read(store, "study")


@pytest.mark.parametrize("content", ["[", "[]", '{"A": 1}', "[" * 100_000])
def test_a_damaged_file_of_values_is_told(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    site_variables.write(store, "study", {"TOKEN": SECRET})
    store.study("study").site_variables(os.geteuid()).write_text(content)
    with pytest.raises(StoreError, match="remove it, then launch the study again"):
        site_variables.read(store, "study")
