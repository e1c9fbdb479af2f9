"""Batch scripts, compared whole, and what may not stand in them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.config.site import RelayPlace, Slurm, load_site
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.batch_script import script_text
from hpc_xfer.slurm.request import Request
from hpc_xfer.slurm.sbatch import submit_job
from tests.cluster import Cluster
from tests.conftest import ROOT
from tests.slurm import CPU, pretraining
from tests.waiting import wait_for

FORGET = (
    "unset ${!PMI*} ${!PRTE*} ${!OMPI_*} ${!PALS_*} "
    "${!MPI_LOCAL*} ${!MV2_COMM_*} ${!TORCHELASTIC_*} RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE "
    "NODE_RANK GROUP_RANK GROUP_WORLD_SIZE ROLE_RANK ROLE_WORLD_SIZE ROLE_NAME MASTER_ADDR "
    "MASTER_PORT HPC_XFER_DEVICE"
)
TEARDOWN = """
# teardown
code=$?
if [ "$code" -eq 85 ]; then  # interrupted, saved, to be continued
    job=$SLURM_JOB_ID${SLURM_ARRAY_TASK_ID:+ ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
    for attempt in {1..20}; do  # slurmctld may be down for some minutes
        said=$(scontrol requeue "${job##* }" 2>&1) && sleep 120 && exit "$code"
        refused=$?
        [ "$refused" -gt 128 ] && sleep 15 && continue  # Slurm has ended it with this job
        echo "could not requeue this job: $said" >&2
        [ "$refused" -lt 126 ] || break  # this node has no scontrol
        case $said in
            *[Aa]uthentic* | *credential*) ;;  # munge may come back
            *nvalid* | *denied* | *disabled* | *'not supported'*) break ;;
        esac
        sleep 15
    done
    echo "this job ends; the relay, or the next launch, submits its runs again" >&2
fi
exit "$code\""""


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    monkeypatch.setenv("USER", "ada")
    return load_site(ROOT / f"sbatch/sites/{name}.yaml").slurm


def test_a_pre_training_on_a_plain_gpu_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    assert script_text(pretraining(6), example("gpu", monkeypatch)) == (
        """#!/bin/bash

# Parameters
#SBATCH --cpus-per-task=8
#SBATCH --export=ALL
#SBATCH --gpus-per-node=3
#SBATCH --job-name=pre.clip.study.c0ffee.1
#SBATCH --mem=184320M
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=3
#SBATCH --open-mode=append
#SBATCH --output='/a store/logs/%j_0_log.out'
#SBATCH --partition=gpu
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=66

# setup
"""
        + FORGET
        + """
unset SLURM_EXPORT_ENV SLURM_CLUSTERS
export TMPDIR="/tmp"

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/a store/logs/%j_%t_log.out' --export=ALL --cpus-per-task=8 """
        """--kill-on-bad-exit=1 --wait=0 --open-mode=append python 'a b.py'

""" + TEARDOWN
    )


def test_fine_tunings_with_account_gres_and_dependencies(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(
        "ft5.clip.study.c0ffee.1", ("true",), Path("/logs"), 35, array=4, at_once=2,
        after_ok=("12",), after_any=("13", "14"), memory_per_gpu=240, exclude=("n9",),
    )  # fmt: skip
    assert script_text(request, example("a100", monkeypatch)) == (
        """#!/bin/bash

# Parameters
#SBATCH --account=vision
#SBATCH --array=0-3%2
#SBATCH --constraint=nvlink
#SBATCH --cpus-per-task=16
#SBATCH --dependency=afterok:12,afterany:13:14
#SBATCH --exclude=a100-07,n9
#SBATCH --export=ALL
#SBATCH --gres=gpu:a100:1
#SBATCH --job-name=ft5.clip.study.c0ffee.1
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --mem=245760M
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/logs/%A_%a_0_log.out
#SBATCH --partition=a100
#SBATCH --qos=normal
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=35

# setup
"""
        + FORGET
        + """
module load cuda/12.4
ulimit -n 65536
export NCCL_SOCKET_IFNAME=ib0
export NCCL_IB_HCA=mlx5
unset SLURM_EXPORT_ENV SLURM_CLUSTERS
export TMPDIR="$SLURM_TMPDIR"

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /logs/%A_%a_%t_log.out --export=ALL --cpus-per-task=16 """
        """--kill-on-bad-exit=1 --wait=0 --open-mode=append true

""" + TEARDOWN
    )


def test_the_relay_on_a_cpu_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(
        "relay.study.30e858.relay.1", ("true",), Path("/logs"), 30, gpus=False, relay=True,
        after_one=("12", "13"), begin_minutes=10,
    )  # fmt: skip
    lines = script_text(request, example("cpu", monkeypatch)).splitlines()
    assert [line for line in lines if line.startswith("#SBATCH")] == [
        "#SBATCH --begin=now+10minutes",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --dependency='afterany:12?afterany:13'",
        "#SBATCH --export=ALL",
        "#SBATCH --job-name=relay.study.30e858.relay.1",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=/logs/%j_0_log.out",
        "#SBATCH --requeue",
        "#SBATCH --time=30",
    ]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("gpus-per-node", "#SBATCH --gpus-per-node=h100:4"),
        ("gres", "#SBATCH --gres=gpu:h100:4"),
        ("gpus-per-task", "#SBATCH --gpus-per-task=h100:1"),
    ],
)
def test_gpus_are_asked_for_in_the_dialect_of_the_site(option: str, line: str) -> None:
    settings = Slurm(gpus_per_node=4, gpu_option=option, gpu_type="h100")  # type: ignore[arg-type]
    assert line in script_text(pretraining(4), settings).splitlines()


@pytest.mark.parametrize("option", ["gpus-per-node", "gres", "gpus-per-task"])
def test_each_process_sees_all_gpus_of_its_node_that_the_job_has(
    option: str, tmp_path: Path, cluster: Cluster
) -> None:
    """NCCL reaches only these directly. Of four GPUs of a node, one is another job's."""
    other = cluster.submit("sleep 100", "-N4", "--gpus-per-node=1")
    wait_for(lambda: cluster.state(other) == "RUNNING")
    ask = "echo $SLURM_LOCALID sees $CUDA_VISIBLE_DEVICES"
    request = Request("x", ("sh", "-c", ask), tmp_path, minutes=1, tasks=4)
    job = submit_job(request, Slurm(gpus_per_node=2, gpu_option=option))  # type: ignore[arg-type]
    wait_for(lambda: cluster.state(job) == "COMPLETED")
    told = [path.read_text().strip() for path in tmp_path.glob("*_log.out")]
    assert sorted(told) == ["0 sees 1,2", "0 sees 1,2", "1 sees 1,2", "1 sees 1,2"]


def test_memory_per_cpu_and_any_other_option() -> None:
    settings = Slurm(
        gpu_option="none", cpus_per_gpu=4, memory_per_gpu=10, memory_option="mem-per-cpu",
        options={"mail-user": "me@lab.org"}, reservation="class",
    )  # fmt: skip
    lines = script_text(pretraining(1), settings).splitlines()
    assert "#SBATCH --mem-per-cpu=2560M" in lines
    assert "#SBATCH --mail-user=me@lab.org" in lines and "#SBATCH --reservation=class" in lines


@pytest.mark.parametrize(("minutes", "line"), [(0.2, 1), (20, 20), (21, 21), (21.1, 22)])
def test_a_time_limit_is_rounded_up(minutes: float, line: int) -> None:
    request = Request("x", ("true",), Path("/logs"), minutes)
    assert f"#SBATCH --time={line}" in script_text(request, CPU).splitlines()


@pytest.mark.parametrize(
    ("own", "taken"),
    [
        ({}, {"partition=gpu", "account=vision", "qos=long", "constraint=nvlink"}),
        ({"partition": "cpu"}, {"partition=cpu", "account=vision"}),
        ({"partition": "cpu", "qos": "short"}, {"partition=cpu", "account=vision", "qos=short"}),
    ],
)
def test_the_relay_takes_what_fits_its_partition_of_the_options_of_all_jobs(
    own: dict[str, str], taken: set[str]
) -> None:
    """docs/site.md says which: a qos or a feature of nodes belongs to a partition."""
    slurm = Slurm(partition="gpu", account="vision", qos="long", constraint="nvlink",
                  reservation="paper", relay=RelayPlace.model_validate(own))  # fmt: skip
    relay = Request("relay.x.1", ("true",), Path("/logs"), 30, gpus=False, relay=True)
    options = re.findall(r"^#SBATCH --(\S+)$", script_text(relay, slurm), re.MULTILINE)
    places = ("partition", "account", "qos", "constraint", "reservation")
    assert {option for option in options if option.startswith(places)} == taken


def test_the_relay_has_options_of_its_own() -> None:
    slurm = Slurm(options={"licenses": "matlab"}, relay=RelayPlace(options={"nice": "5"}))
    relay = Request("relay.x.1", ("true",), Path("/logs"), 30, gpus=False, relay=True)
    text = script_text(relay, slurm)
    assert "#SBATCH --nice=5\n" in text and "--licenses" not in text
    text = script_text(pretraining(1), slurm)
    assert "#SBATCH --licenses=matlab\n" in text and "--nice" not in text


def test_a_signal_of_submitits_own_does_not_take_the_place_of_ours() -> None:
    code = (
        "from pathlib import Path; from hpc_xfer.config.site import Slurm;"
        "from hpc_xfer.slurm.batch_script import script_text;"
        "from hpc_xfer.slurm.request import Request;"
        "print(script_text(Request('x', ('true',), Path('/logs'), 1), Slurm()))"
    )
    env = {**os.environ, "SUBMITIT_PREEMPT_SIGNAL": "USR1"}
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "#SBATCH --signal=USR2@120\n" in done.stdout


def test_a_job_name_cannot_begin_a_line_of_the_script() -> None:
    with pytest.raises(SlurmError, match="contains no control characters"):
        script_text(Request("x\n#SBATCH --uid=0", ("true",), Path("/logs"), 1), CPU)


@pytest.mark.parametrize(
    "folder", ["/a%j/logs", "/a\n#SBATCH --uid=0/logs", "/a'b/logs", "/$HOME/x"]
)
def test_a_path_that_slurm_would_read_otherwise_is_refused(folder: str) -> None:
    with pytest.raises(SlurmError, match="choose another --store"):
        submit_job(Request("x", ("true",), Path(folder), 1), CPU)
