"""A line that others wrote into a ledger names any job; only jobs of the store are touched."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.slurm.control import cancel_jobs, release_jobs
from hpc_xfer.slurm.job_names import is_of_store
from hpc_xfer.slurm.parsing import QueueLine
from hpc_xfer.slurm.queue import current_user
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.store.store import Store
from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import SlurmStudy
from tests.slurm import CPU

Forge = Callable[..., None]


@pytest.fixture
def study(tmp_path: Path, shards: Path, cluster: Cluster) -> SlurmStudy:
    """A study whose jobs wait."""
    cluster.drain()
    made = SlurmStudy(tmp_path, shards, method="scratch")
    made.launch()
    return made


@pytest.fixture
def forge(study: SlurmStudy) -> Forge:
    """Writes the lines of a submission of the study."""

    def forged(name: str, job: str | None, **more: Any) -> None:
        who = {"time": "2026-01-01T00:00:00+00:00", "host": "elsewhere", "pid": 1, "name": name}
        intent = {
            "event": "intent", "kind": "pretrain", "batch": None, "elements": None, "lane": None,
            "user": current_user(), "stored": 1.0, "cluster": None, "code": None,
            "root": str(study.store.root),
        }  # fmt: skip
        lines = [{**who, **intent, **more}]
        lines += [{**who, "event": "submitted", "job": job, "adopted": True}] if job else []
        with open(study.store.study("faults").launches, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    return forged


def other_job(folder: Path, name: str) -> str:
    """A job of the same user that is not of this study."""
    return submit_job(Request(name, ("true",), folder / "other/logs", 1), CPU)


def test_an_unrelated_job_of_the_user_outlives_cancel(
    tmp_path: Path, study: SlurmStudy, forge: Forge, cluster: Cluster
) -> None:
    names = (
        "train_gpt",
        "pre.x.faults.c0ffee12ab34-abcdef.1",  # of another store
        f"pre.x.another.c0ffee12ab34-{study.store.tag}.1",  # of another study of the store
        f"faults.{study.store.tag}.1",
    )
    others = [other_job(tmp_path, name) for name in names]
    for name, job in zip(names, others, strict=True):
        forge(name, job)
    told = json.loads(study.call("cancel", "--json"))
    assert sorted(cluster.live()) == sorted(others)
    assert sorted(told["left_to_you"]) == sorted(others)
    assert not set(told["cancelled"]) & set(others)


def jobs_of_runs(study: SlurmStudy) -> dict[str, tuple[str, str]]:
    """State and job of each run; why a job waits may change between two looks."""
    runs = json.loads(study.call("status", "--json"))["runs"]
    return {run_id: (found["state"], found["job"]) for run_id, found in runs.items()}


def test_a_job_of_another_store_is_not_cancelled_because_that_is_said_to_have_moved(
    tmp_path: Path, study: SlurmStudy, forge: Forge, cluster: Cluster
) -> None:
    """The root of a line may be made up so that its tag is that of any store."""
    root = tmp_path / "gone/store"
    name = f"pre.x.faults.c0ffee12ab34-{Store(root).tag}.1"
    job = other_job(tmp_path, name)  # its logs lie elsewhere
    forge(name, job, root=str(root), host=os.uname().nodename)
    study.launch()
    assert job in cluster.live()
    study.call("cancel")
    assert cluster.live() == [job]


def test_a_job_is_not_adopted_for_its_name(
    tmp_path: Path, study: SlurmStudy, forge: Forge, cluster: Cluster
) -> None:
    job = other_job(tmp_path, "train_gpt")
    forge("train_gpt", None, stored=4e9)
    [note] = study.launch()["notes"]
    assert f"job {job} is left to you" in note
    study.call("cancel")
    assert cluster.live() == [job]


def test_status_takes_no_job_for_that_of_a_run_because_a_line_says_so(
    tmp_path: Path, study: SlurmStudy, forge: Forge
) -> None:
    before = jobs_of_runs(study)
    for packs in study.store.study("faults").path.glob("packs/*.json"):
        name = f"train_gpt.{packs.stem}"
        forge(name, other_job(tmp_path, name), batch=packs.stem)
    assert jobs_of_runs(study) == before


def test_thousands_of_forged_lines_are_told_in_a_few_short_sentences(
    tmp_path: Path, study: SlurmStudy, forge: Forge
) -> None:
    roots = [tmp_path / f"{number}" / ("x" * 200) for number in range(50)]
    for root in roots:
        name = f"pre.x.faults.c0ffee12ab34-{Store(root).tag}.1"
        forge(name, "900", root=str(root), host="h" * 90)
    for name in ("train_gpt.0", "train_gpt.1", "train_gpt.2", "train_gpt.3"):
        forge(name, other_job(tmp_path, name))
    told = study.call("status").splitlines()
    notes = [line for line in told if "left to you" in line or "this host does not have" in line]
    assert len(notes) == 5 and all(len(note) < 300 for note in notes)
    assert "47 more such places" in notes[-1]


def test_an_intent_of_a_time_to_come_holds_no_launch(study: SlurmStudy, forge: Forge) -> None:
    name = f"pre.x.faults.c0ffee12ab34-{study.store.tag}.7"
    forge(name, None, stored=4e9)
    assert study.launch()["in_queue"] == 3


@pytest.mark.parametrize("cluster_name", ["all", "--user=root", "a,b"])
def test_a_name_that_is_no_clusters_reaches_no_command(
    study: SlurmStudy, forge: Forge, cluster: Cluster, cluster_name: str
) -> None:
    name = f"pre.x.faults.c0ffee12ab34-{study.store.tag}.7"
    forge(name, "77", cluster=cluster_name)
    study.call("cancel", code=1)  # that cluster does not answer, which is told
    assert cluster.live() == []


@pytest.mark.parametrize(
    "changed",
    [
        {"job": "12,13"}, {"job": "--user=me"}, {"job": "12_[0-5]"}, {"job": "12 13"}, {"job": ""},
        {"user": "somebody"}, {"name": "train_gpt"}, {"name": "pre.x.s.c0ffee-abcdef.1"},
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit_is_in_no_call(command: Command, changed: dict[str, str]) -> None:
    for program in ("scancel", "scontrol"):
        command(program, "exit 1")
    fields = {"job": "12", "name": "pre.x.s.c0ffee-30e858.1", "user": current_user(), **changed}
    line = QueueLine(raw="12", state="PENDING", **fields)
    assert cancel_jobs([line], "30e858") == release_jobs([line], "30e858") == [line]


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("pre.clip-sans-12.broken.e76453f7b9ab-582eb3.1", True),  # as version 0.1.0 wrote it
        ("ft5.clip.study.c0ffee12ab34-582eb3.12", True),
        ("relay.study.582eb3.1", True),
        ("check.pretrain.a.b.582eb3-20261126-201500.1", True),
        ("collect.study.582eb3.by-hand.0", True),
        ("collect.study.582eb4.by-hand.0", False),
        ("pre.clip.study.c0ffee12ab34-582eb3.1\nx", False),
        ("relay.study.582eb3.1.2", False),
        ("relay.x.y.582eb3.1", False),
        ("x.relay.study.582eb3.1", False),
        ("relay.study.582eb4.1", False),
    ],
)
def test_the_names_of_a_store_end_in_its_tag(name: str, is_ours: bool) -> None:
    assert is_of_store(name, "582eb3") == is_ours
