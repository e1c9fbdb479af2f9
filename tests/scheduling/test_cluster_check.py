"""A cluster that is ready, and one that is not; a rehearsal."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpc_xfer import doctor
from hpc_xfer.compute import node_check
from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.store.rehearsal_store import rehearsal_stores
from hpc_xfer.store.store import Store
from hpc_xfer.study.study_file import load_study
from hpc_xfer.system import machine
from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


def results(study: SlurmStudy, code: int) -> dict[str, tuple[bool, str]]:
    told = json.loads(study.call("doctor", "--json", code=code))["verdicts"]
    return {each["what"]: (each["well"], each["found"]) for each in told}


def test_a_ready_cluster_is_called_ready(tmp_path: Path, shards: Path, cluster: Cluster) -> None:
    found = results(SlurmStudy(tmp_path, shards, gpus=2), 0)
    assert all(well for well, _ in found.values())
    assert found["pretrain all-reduce"][1].startswith("2 ranks on 2 nodes, ")
    assert found["pretrain environment"][1] == "n1: the same packages and code as here"
    assert found["finetune: source sans"] == (True, "can be read on n1")
    assert not cluster.live()


def test_what_a_source_leaves_out_is_told_and_no_fault(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    shutil.copytree(shards / "sans", tmp_path / "own/sans")
    (tmp_path / "own/sans/9.tar.gz").touch()
    found = results(SlurmStudy(tmp_path, tmp_path / "own"), 0)
    well, words = found["data"]
    assert well and "1 compressed shard is not used, the first 9.tar.gz" in words


def test_a_failed_check_says_what_it_found(tmp_path: Path, shards: Path, cluster: Cluster) -> None:
    study = SlurmStudy(tmp_path, shards, slurm={"scratch": "/no/such/place"})
    found = results(study, 1)
    assert found["finetune TMPDIR"] == (
        False,
        "/no/such/place does not exist; Slurm set it to /tmp",
    )
    study = SlurmStudy(tmp_path, shards, slurm={"partition": "nowhere"})
    well, words = results(study, 1)["pretrain jobs"]
    assert not well and "nvalid partition" in words


def test_a_cluster_is_checked_before_the_data_is_there(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.grid.write_text(study.grid.read_text().replace("datasets: [digits]", "datasets: [pets]"))
    found = results(study, 1)
    well, words = found["inputs"]
    assert not well and "pets" in words and "other mistake" not in words
    assert found["relay jobs"][0] and found["pretrain environment"][0]
    assert [what for what, (well, _) in found.items() if not well] == ["inputs"]  # told once


def test_a_study_of_which_no_job_can_be_written_is_refused(tmp_path: Path, shards: Path) -> None:
    study = SlurmStudy(tmp_path, shards, gpus=7, slurm={"gpus_per_node": 4})
    with pytest.raises(StudyError, match="7 GPUs cannot be spread evenly over nodes of 4"):
        doctor.main([str(study.grid), "--site", str(study.site), "--store", str(tmp_path / "s")])


def test_a_gpu_that_was_given_and_cannot_be_used_is_named(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    if machine.gpus():
        pytest.skip("this machine has a GPU")
    gpus = {"gpu_option": "gres", "gpus_per_node": 1}
    found = results(SlurmStudy(tmp_path, shards, gpus=2, slurm=gpus), 1)
    for kind in ("pretrain", "finetune"):
        well, words = found[f"{kind} GPUs"]
        assert not well and "given HPC_XFER_DEVICE=cuda" in words
        assert found[f"{kind}: source sans"][0]  # what else there is to find is found
    gpus |= {"environment": {"HPC_XFER_DEVICE": "cpu"}}
    found = results(SlurmStudy(tmp_path, shards, gpus=2, slurm=gpus), 0)
    assert found["pretrain GPUs"] == (True, "none is used: HPC_XFER_DEVICE is cpu")


def test_the_data_set_of_a_probe_is_opened_too(tmp_path: Path) -> None:
    grid = tmp_path / "a.yaml"
    text = "name: x\npretrain: [{method: scratch, arch: RN50}]\n"
    grid.write_text(text + "resources: {pretrain: {probe: {dataset: digits}}}\n")
    found = node_check.look(load_study(grid), Site(), Store(tmp_path), World())
    assert found["data"] == {"data set digits": ""}


def test_a_time_limit_that_no_partition_grants_is_found_before_anything_runs(
    tmp_path: Path, shards: Path, make_cluster: Callable[..., Cluster]
) -> None:
    make_cluster(nodes=1, partitions={"gpu": "Default=YES MaxTime=30"})
    study = SlurmStudy(tmp_path, shards)
    study.grid.write_text(study.grid.read_text().replace("{minutes: 1, gpus", "{minutes: 60, gpus"))
    found = results(study, 1)
    well, words = found["pretrain jobs"]
    assert not well and words == (
        "asks for 65 min, but the partition grants 30; set max_minutes: 30"
    )
    assert found["finetune jobs"] == (True, "1 process for 7 min accepted")


def test_a_rehearsal_runs_everything_with_two_steps(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards)
    study.launch("--rehearse")
    wait_for(lambda: not cluster.live())
    (beside,) = rehearsal_stores(Store(study.store.root))
    assert not study.store.root.exists()
    told = json.loads(study.call("status", "--json", "--rehearsal"))
    assert told["counts"]["done"] == 3
    steps = [
        json.loads(p.read_text())["metrics"]["steps"] for p in beside.glob("runs/*/record.json")
    ]
    assert steps == [2, 2, 2]
