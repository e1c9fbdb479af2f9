"""Write the batch script of a request: options of sbatch, set-up lines, requeue at the end."""

import math
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.resources import spread_over_nodes
from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.clusters import CARRIED, cluster_of
from hpc_xfer.slurm.request import Request
from hpc_xfer.system.written_path import absolute

if TYPE_CHECKING:
    from submitit import SlurmExecutor

REQUEUE_EXIT_CODE = 85  # of a job that was interrupted, has saved itself and is to be requeued


def script_text(request: Request, slurm: Slurm) -> str:
    """The script that `submit_job` gives to sbatch."""
    _check(request)
    executor = _executor(request, slurm)
    text = str(executor._make_submission_file_text(shlex.join(request.command), ""))
    # submitit always asks for a signal. A relay has nothing to save, and would die of it.
    return re.sub(r"#SBATCH --signal=.*\n", "", text) if request.relay else text


def shown_script(request: Request, slurm: Slurm) -> str:
    """The script without the values that a site file sets: for files and terminals."""
    return script_text(request, slurm.without_values())


def sbatch_flags(request: Request, slurm: Slurm) -> list[str]:
    """The options of sbatch that stand in the script of a request, quoted for a shell."""
    return re.findall(r"^#SBATCH (.*)$", script_text(request, slurm), re.M)


def log_path(logs: Path, job: str, task: int = 0) -> Path:
    """The log of one task of a job, or of an element of an array."""
    return logs / f"{job}_{task}_log.out"


def _executor(request: Request, slurm: Slurm) -> "SlurmExecutor":
    """submitit's executor for a request: it writes the text, and submits nothing."""
    from submitit import SlurmExecutor

    # submitit's types are known in some versions only.
    class TextWriter(SlurmExecutor):  # type: ignore[misc,unused-ignore]
        @classmethod
        def affinity(cls) -> int:
            return 1  # write scripts where there is no Slurm too

    executor = TextWriter(folder=absolute(request.logs))
    executor.parameters.update(sbatch_parameters(request, slurm))
    return executor


def sbatch_parameters(request: Request, slurm: Slurm) -> dict[str, Any]:
    """submitit's parameters for a request; `options` of the site are added."""
    target = _partition_and_account(request, slurm)
    nodes, tasks = spread_over_nodes(request.tasks, slurm.gpus_per_node) if request.gpus else (1, 1)
    cpus = slurm.relay.cpus if request.relay else slurm.cpus_per_gpu or 1
    minutes = max(1, math.ceil(request.minutes))
    if slurm.max_minutes is not None:
        minutes = min(minutes, slurm.max_minutes)
    found: dict[str, Any] = {
        "job_name": request.name,
        "time": slurm.relay.minutes if request.relay else minutes,
        "nodes": nodes,
        "ntasks_per_node": tasks,
        "cpus_per_task": cpus,
        "partition": target["partition"],
        "account": target["account"],
        "qos": target["qos"],
        "constraint": target["constraint"],
        "exclude": ",".join(dict.fromkeys((*slurm.exclude, *request.exclude))) or None,
        "stderr_to_stdout": True,
        "setup": setup_lines(slurm) or None,
        "teardown": TEARDOWN,
        "dependency": _dependency(request),
        **_memory(request, slurm, tasks, cpus),
        **(_gpus(slurm, tasks) if request.gpus else {}),
    }
    if request.array is not None:
        found |= {"map_count": request.array, "array_parallelism": request.at_once or request.array}
    found = {key: value for key, value in found.items() if value is not None}
    more = _additional_parameters(request, slurm)
    more |= slurm.relay.options if request.relay else slurm.options
    own = {"wckey": None, "srun_args": _srun(cpus)}  # else submitit names a wckey of its own
    return found | own | {"additional_parameters": more}


def _partition_and_account(request: Request, slurm: Slurm) -> dict[str, str | None]:
    keys = ("partition", "account", "qos", "constraint")
    found = {key: getattr(slurm, key) for key in keys}
    if not request.relay:
        return found
    if slurm.relay.partition is not None:
        found |= {"qos": None, "constraint": None}  # those of another partition
    return {key: getattr(slurm.relay, key) or found[key] for key in keys}


def _additional_parameters(request: Request, slurm: Slurm) -> dict[str, Any]:
    """Options for which submitit has no parameter, or which it takes from the environment."""
    # sites, and users by SBATCH_EXPORT, may have chosen that jobs get no variables at all
    more: dict[str, Any] = {
        "export": "ALL",
        "requeue": True,
        "signal": f"USR2@{slurm.signal_seconds}",
    }
    if slurm.reservation and not request.relay:
        more["reservation"] = slurm.reservation
    if request.after_ok:
        more["kill-on-invalid-dep"] = "yes"
    if request.begin_minutes:
        more["begin"] = f"now+{request.begin_minutes}minutes"
    return more


def _gpus(slurm: Slurm, tasks: int) -> dict[str, Any]:
    kind = f"{slurm.gpu_type}:" if slurm.gpu_type else ""
    match slurm.gpu_option:
        case "gpus-per-node":
            return {"gpus_per_node": f"{kind}{tasks}"}
        case "gres":
            return {"gres": f"gpu:{kind}{tasks}"}
        case "gpus-per-task":
            return {"gpus_per_task": f"{kind}1"}
    return {}


def _memory(request: Request, slurm: Slurm, tasks: int, cpus: int) -> dict[str, Any]:
    gigabytes = request.memory_per_gpu or slurm.memory_per_gpu  # per process
    if request.relay:
        gigabytes = slurm.relay.memory
    if gigabytes is None:
        return {}
    if slurm.memory_option == "mem-per-cpu":
        return {"mem_per_cpu": f"{round(1024 * gigabytes / cpus)}M"}
    return {"mem": f"{round(1024 * gigabytes * tasks)}M"}


def _dependency(request: Request) -> str | None:
    """The value of --dependency: `,` between conditions means all, `?` any.

    Raises:
        SlurmError: a job has no number; others may write in a ledger.
    """
    for job in (*request.after_one, *request.after_ok, *request.after_any):
        if not re.fullmatch(r"\d+|\$job_\d+", job, re.A):  # a variable: by hand
            raise SlurmError(f"{job[:40]!r} is not the number of a job; launch the study again")
    if request.after_one:
        return "?".join(f"afterany:{job}" for job in request.after_one)
    parts = [("afterok", request.after_ok), ("afterany", request.after_any)]
    return ",".join(":".join((kind, *jobs)) for kind, jobs in parts if jobs) or None


# What MPI or torchrun left where the study was launched, and the device that a user chose there: in
# jobs the site's `environment` chooses it, or jobs with GPUs would train on the CPU.
_FORGET = (
    "unset ${!PMI*} ${!PRTE*} ${!OMPI_*} ${!PALS_*} "
    "${!MPI_LOCAL*} ${!MV2_COMM_*} ${!TORCHELASTIC_*} RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE "
    "NODE_RANK GROUP_RANK GROUP_WORLD_SIZE ROLE_RANK ROLE_WORLD_SIZE ROLE_NAME MASTER_ADDR "
    "MASTER_PORT HPC_XFER_DEVICE"
)


# srun and scontrol would obey them, also where set-up lines of the site have set them.
_ALONE = "unset SLURM_EXPORT_ENV SLURM_CLUSTERS"
# srun would show each task one GPU, and NCCL could not reach the others by NVLink. --gpu-bind=none
# leaves CUDA_VISIBLE_DEVICES unset (Slurm 22.05): the GPUs of other jobs would be used too.
_UNBOUND = "unset SLURM_GPUS_PER_TASK SLURM_TRES_PER_TASK SLURM_GPU_BIND"


def setup_lines(slurm: Slurm) -> list[str]:
    """Lines of the script before its command."""
    lines = [_FORGET, *slurm.setup]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in slurm.environment.items()]
    lines.append(_ALONE)
    if slurm.gpu_option == "gpus-per-task":
        lines.append(_UNBOUND)
    if (cluster := cluster_of(slurm)) is not None:
        lines.append(f"export {CARRIED}={cluster}")
    if slurm.scratch is not None:
        lines.append(f'export TMPDIR="{slurm.scratch}"')
    return lines


def _srun(cpus: int | str) -> list[str]:
    # Since 22.05 srun ignores the cpus-per-task of sbatch. A rank that dies ends the others.
    # A site's default, or a user's, may be that tasks get no variables.
    return [
        "--export=ALL",
        f"--cpus-per-task={cpus}",
        "--kill-on-bad-exit=1",
        "--wait=0",
        "--open-mode=append",
    ]


TEARDOWN = [
    "code=$?",
    f'if [ "$code" -eq {REQUEUE_EXIT_CODE} ]; then  # interrupted, saved, to be continued',
    # SLURM_JOB_ID of an array's last element is the id of the array: all would be requeued.
    "    job=$SLURM_JOB_ID${SLURM_ARRAY_TASK_ID:+ ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
    "    for attempt in {1..20}; do  # slurmctld may be down for some minutes",
    '        said=$(scontrol requeue "${job##* }" 2>&1) && sleep 120 && exit "$code"',
    "        refused=$?",
    '        [ "$refused" -gt 128 ] && sleep 15 && continue  # Slurm has ended it with this job',
    '        echo "could not requeue this job: $said" >&2',
    '        [ "$refused" -lt 126 ] || break  # this node has no scontrol',
    "        case $said in",
    "            *[Aa]uthentic* | *credential*) ;;  # munge may come back",
    "            *nvalid* | *denied* | *disabled* | *'not supported'*) break ;;",
    "        esac",
    "        sleep 15",
    "    done",
    '    echo "this job ends; the relay, or the next launch, submits its runs again" >&2',
    "fi",
    'exit "$code"',
]


def _check(request: Request) -> None:
    """Refuse what would begin a line of the script, or what Slurm would expand."""
    logs = str(absolute(request.logs))
    if not request.name.isprintable():
        raise SlurmError(f"{request.name!r}: a job name contains no control characters; rename it")
    if not logs.isprintable() or re.search(r"[%'\"\\`$]", logs):
        raise SlurmError(
            f"{logs!r}: Slurm cannot write logs to a path with %, quotes, $ or control characters; "
            "choose another --store"
        )
