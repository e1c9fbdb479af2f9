"""Jobs on a real Slurm that were given GPUs which are not there: its nodes have none."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hpc_xfer.store import failures
from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
]
GIVEN: dict[str, Any] = {"gpu_option": "gpus-per-node", "retries": 1}


def test_a_job_without_its_gpu_fails_and_the_next_one_leaves_the_node_out(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    """Nothing runs on the CPU, and the job is not requeued on the same node for ever."""
    study = SlurmStudy(tmp_path, shards, method="scratch", slurm=GIVEN)
    study.launch()
    wait_for(lambda: study.is_over(cluster), 1200)
    error = failures.read(study.parent_dir)
    assert error is not None and error["class"] == "no gpu", study.logs()
    assert "given HPC_XFER_DEVICE=cuda and CUDA_VISIBLE_DEVICES=" in error["message"]
    tries = [(each["class"], each["node"]) for each in error["history"]]
    assert len(tries) == len(set(tries)) == 2, tries
    assert not study.parent_dir.record.exists()
    assert "a GPU was given and torch could not use it" in study.call("status", code=None)


def test_a_user_may_train_on_the_cpu_of_nodes_with_gpus(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    slurm = {**GIVEN, "environment": {"HPC_XFER_DEVICE": "cpu"}}
    study = SlurmStudy(tmp_path, shards, method="scratch", slurm=slurm)
    study.launch()
    study.ends(cluster)
