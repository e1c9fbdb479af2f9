"""The lines that submit a study by hand say all that the scripts of a launch say."""

import json
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.scheduling.by_hand import by_hand
from hpc_xfer.scheduling.job_requests import request_of
from hpc_xfer.slurm.batch_script import script_text
from hpc_xfer.slurm.sbatch import submit_job
from hpc_xfer.store.launched_study import LaunchedStudy, prepare_store
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import cut_into_arrays
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.cluster import Cluster
from tests.conftest import Command

SCRATCH = {"method": "scratch", "arch": "RN50", "seed": [0, 1]}
TUNE = {"datasets": ["digits"], "shots": [1], "mode": ["lp"], "solver": "adamw", "lr": 0.01}
EVERY_OPTION = Slurm.model_validate({
    "cluster": "big", "partition": "a100", "account": "vision", "qos": "long",
    "constraint": "nvlink&ib",
    "reservation": "class", "exclude": ("n7", "n8"),
    "gpus_per_node": 4, "gpu_option": "gres", "gpu_type": "a100", "cpus_per_gpu": 3,
    "memory_per_gpu": 2.5, "memory_option": "mem-per-cpu",
    "max_minutes": 60, "max_array": 100, "signal_seconds": 45,
    "setup": ("module load 'cuda/12.4'", "ulimit -n 65536"),
    "environment": {"NCCL_SOCKET_IFNAME": "ib0", "MESSAGE": "it's $HOME"},
    "scratch": "$SLURM_TMPDIR",
    "options": {"mail-user": "me@lab.org", "nice": "10"},
    "relay": {"partition": "cpu", "account": "small", "minutes": 7, "cpus": 2, "memory": 1,
              "options": {"nice": "3"}},
})  # fmt: skip


def launched(tmp_path: Path, slurm: Slurm | None = None, **grid: object) -> LaunchedStudy:
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps({"name": "x", "pretrain": [SCRATCH], **grid}))
    study, store = load_study(path), Store(tmp_path / "a store")
    site = Site(slurm=slurm or Slurm())
    found = LaunchedStudy(study, make_plan(study), store, site, None)
    prepare_store(study, found.plan, store)
    return found


def run_lines(study: LaunchedStudy) -> None:
    lines = "\n".join(by_hand(study, set()))
    subprocess.run(["bash", "-euc", lines], check=True, capture_output=True)


def calls_of(study: LaunchedStudy, command: Command, answer: str = "N") -> list[list[str]]:
    """Arguments of each sbatch; the first is job 1. `answer` is what sbatch prints."""
    log = study.store.root / "calls"
    quoted = shlex.quote(str(log))
    number = f"$(grep -c '^$' {quoted})"
    command("sbatch", f"printf '%s\\n' \"$@\" '' >> {quoted}; echo {answer.replace('N', number)}")
    run_lines(study)
    return [call.splitlines() for call in log.read_text().split("\n\n") if call]


def dependencies(calls: list[list[str]]) -> list[str]:
    found = (re.search(r"--dependency=(\S+)", " ".join(call)) for call in calls)
    return [match[1] if match else "" for match in found]


def flags(text: str) -> list[str]:
    """The options in a batch script as a shell would hand them to sbatch."""
    lines = re.findall(r"^#SBATCH (.*)$", text, re.M)
    return [word for line in lines for word in shlex.split(line)]


def test_children_wait_for_their_parents_and_the_tables_for_all(
    tmp_path: Path, command: Command
) -> None:
    calls = calls_of(launched(tmp_path, finetune=TUNE), command)
    assert dependencies(calls) == ["", "", "afterok:1", "afterok:2", "afterany:1:2:3:4"]


def test_the_tables_wait_for_pre_trainings_where_nothing_is_tuned(
    tmp_path: Path, command: Command
) -> None:
    assert dependencies(calls_of(launched(tmp_path), command)) == ["", "", "afterany:1:2"]


def test_the_name_of_a_federations_cluster_is_in_no_dependency(
    tmp_path: Path, command: Command
) -> None:
    calls = calls_of(launched(tmp_path), command, answer="'N;alpha'".replace("N", "'N'"))
    assert dependencies(calls) == ["", "", "afterany:1:2"]


def test_a_part_of_a_study_is_submitted_without_the_rest(tmp_path: Path, command: Command) -> None:
    study = replace(launched(tmp_path, finetune=TUNE), only=("pretrain_seed=1",))
    calls = calls_of(study.alone, command)
    assert dependencies(calls) == ["", "afterok:1", "afterany:1:2"]


def test_arrays_that_share_what_may_run_at_once_run_one_after_another(
    tmp_path: Path, command: Command
) -> None:
    resources = {"finetune": {"max_running": 1}}
    calls = calls_of(launched(tmp_path, finetune=TUNE, resources=resources), command)
    assert dependencies(calls)[2:4] == ["afterok:1", "afterok:2,afterany:3"]
    assert "--array=0-2%1" in calls[2]


def test_every_option_of_a_site_is_said_as_in_the_script_of_a_launch(
    tmp_path: Path, command: Command
) -> None:
    resources = {"finetune": {"max_running": 3}}
    study = launched(tmp_path, EVERY_OPTION, finetune=TUNE, resources=resources)
    first, *_, tables = calls = calls_of(study, command)
    assert set(Slurm.model_fields) - EVERY_OPTION.model_fields_set == {
        "max_memory_per_gpu", "max_jobs", "jobs_may_submit", "retries", "bad_node_hits",
        "hang_minutes", "gpu_memory", "teraflops",
    }  # fmt: skip
    pretraining, _, tuning, _ = cut_into_arrays(study.plan)
    options = flags(script_text(request_of(study, pretraining, 0), EVERY_OPTION))
    assert first[1:-1] == [*options, "--clusters=big"]
    request = replace(request_of(study, tuning, 0), after_ok=("1",), at_once=2)
    assert calls[2][1:-1] == [*flags(script_text(request, EVERY_OPTION)), "--clusters=big"]
    of_the_relay = {"--partition=cpu", "--account=small", "--time=7", "--mem-per-cpu=512M"}
    assert of_the_relay | {"--nice=3", "--clusters=big"} <= set(tables)


def test_setup_and_environment_of_the_site_reach_the_scripts(
    tmp_path: Path, command: Command
) -> None:
    study = launched(tmp_path, EVERY_OPTION)
    command("sbatch", "echo 1")
    lines = "\n".join(by_hand(study, set()))
    show = 'printf "%s\\n" "$SETUP" "$TEARDOWN"'
    done = subprocess.run(["bash", "-euc", f"{lines}\n{show}"], capture_output=True, text=True)
    array = cut_into_arrays(study.plan)[0]
    script = script_text(request_of(study, array, 0), EVERY_OPTION)
    setup = script.split("# setup\n")[1].split("\n\n")[0]
    teardown = script.split("# teardown\n")[1]
    assert done.stdout == f"1\n{setup}\n{teardown}\n"


def test_variables_reach_jobs_of_a_site_that_exports_none(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_EXPORT", "NONE")  # which an option of the command line replaces
    assert "--export=ALL" in calls_of(launched(tmp_path), command)[0]


def test_jobs_by_hand_get_no_variables_of_the_job_in_which_their_lines_run(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """srun refuses SLURM_MEM_PER_CPU of an allocation beside the SLURM_MEM_PER_NODE of the job."""
    for name in ("SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "SBATCH_ARRAY_INX", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "7")
    for name in ("SLURM_CONF", "MY_OWN"):
        monkeypatch.setenv(name, "kept")
    study = launched(tmp_path)
    command("sbatch", "env > sbatch.env; echo 1")
    lines = "\n".join(by_hand(study, set()))
    subprocess.run(["bash", "-euc", f"cd {tmp_path}\n{lines}\nenv > shell.env"], check=True)
    reach = (tmp_path / "sbatch.env").read_text()
    found = re.findall("^(?:SLURM|SBATCH|CUDA|MY)_.*", reach, re.M)
    assert sorted(found) == ["MY_OWN=kept", "SLURM_CONF=kept"]
    assert "SLURM_JOB_ID=7" in (tmp_path / "shell.env").read_text()


def shown(cluster: Cluster, job: str) -> dict[str, str]:
    """What a job asks for, without what tells it from another one."""
    own = {"JobId", "ArrayJobId", "JobName", "Priority", "SubmitTime", "EligibleTime",
           "AccrueTime", "Command", "Comment", "LastSchedEval", "Dependency", "WorkDir",
           "Scheduler", "StdOut", "StdErr", "NtasksPerTRES:0", "Reason"}  # fmt: skip
    words = shlex.split(cluster.run("scontrol", "show", "job", "-o", job))
    pairs = dict(word.split("=", 1) for word in words if "=" in word)
    return {key: value for key, value in pairs.items() if key not in own}


def test_slurm_is_asked_for_the_same_as_by_a_launch(tmp_path: Path, cluster: Cluster) -> None:
    cluster.drain()
    slurm = Slurm(gpu_option="none", exclude=("n1",), memory_per_gpu=0.5, signal_seconds=45,
                  options={"nice": "10"})  # fmt: skip
    study = launched(tmp_path, slurm, finetune=TUNE)
    run_lines(study)
    rows = cluster.run("squeue", "-h", "-o", "%j %F").splitlines()
    job_by_hand = {name.removesuffix(".0"): job for name, job in map(str.split, rows)}
    parents: dict[str, str] = {}
    for array in cut_into_arrays(study.plan):
        request = request_of(study, array, 1)
        after = tuple(parents[run.id] for run in array.parents)
        job = job_by_hand[request.name.removesuffix(".1")]
        parents |= dict.fromkeys((run.id for run in array.runs), job)
        launched_job = submit_job(replace(request, after_ok=after), slurm)
        assert shown(cluster, job) == shown(cluster, launched_job)
