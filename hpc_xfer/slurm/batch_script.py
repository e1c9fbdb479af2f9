"""The batch script of a request: options of sbatch, set-up lines, the requeue at the end."""

import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.node_layout import spread_over_nodes
from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.commands import COMMAND_SECONDS
from hpc_xfer.slurm.request import Request

if TYPE_CHECKING:
    from submitit import SlurmExecutor

REQUEUE_EXIT_CODE = 85  # of a job that was interrupted, has saved itself and wants to go on


def script_text(request: Request, slurm: Slurm) -> str:
    """The text that `submit` hands to sbatch."""
    executor = make_executor(request, slurm, SbatchCall())
    return str(executor._make_submission_file_text(shlex.join(request.command), ""))


def sbatch_flags(request: Request, slurm: Slurm) -> list[str]:
    """The options of sbatch that stand in the script of a request, quoted for a shell."""
    return re.findall(r"^#SBATCH (.*)$", script_text(request, slurm), re.M)


def log_path(logs: Path, job: str, task: int = 0) -> Path:
    """Where a task of a job writes; of arrays each element has its own."""
    return logs / f"{job}_{task}_log.out"


@dataclass
class SbatchCall:
    """How far a call of sbatch came."""

    file: Path | None = None  # that submitit writes the script to
    made: bool = False
    job: str | None = None  # once Slurm has said it


def make_executor(request: Request, slurm: Slurm, call: SbatchCall) -> "SlurmExecutor":
    from submitit import SlurmExecutor

    # submitit's types are known in some versions only.
    class Executor(SlurmExecutor):  # type: ignore[misc,unused-ignore]
        """submitit's, with an end to sbatch's own patience (it waits for minutes when full)."""

        def _make_submission_file_text(self, command: str, uid: str) -> str:
            call.file = Path(self.folder) / f".submission_file_{uid}.sh"
            text = str(super()._make_submission_file_text(command, uid))
            # A relay has nothing to save, and would end by it; but submitit always asks for one.
            return re.sub(r"#SBATCH --signal=.*\n", "", text) if request.relay else text

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            call.made = True
            return ["timeout", str(COMMAND_SECONDS), "sbatch", str(submission_file_path)]

        @staticmethod
        def _get_job_id_from_submission_command(string: bytes | str) -> str:
            call.job = _job_in(string if isinstance(string, str) else string.decode())
            return call.job

        @classmethod
        def affinity(cls) -> int:
            return 1  # a script can be shown where there is no Slurm

    _check(request)
    executor = Executor(folder=request.logs.resolve())
    executor.parameters.update(sbatch_parameters(request, slurm))
    return executor


def _job_in(said: str) -> str:
    """The id in what sbatch printed; wrappers of a cluster may print other jobs before it."""
    found = re.search(r"Submitted batch job (\d+)", said)
    found = found or re.search(r"^(\d+)(?:;\S+)?$", said, re.M)  # --parsable
    if found is None:
        raise ValueError(f"it told no job id, but {said!r}")
    return found[1]


def sbatch_parameters(request: Request, slurm: Slurm) -> dict[str, Any]:
    place = _place(request, slurm)
    nodes, tasks = spread_over_nodes(request.tasks, slurm.gpus_per_node) if request.gpus else (1, 1)
    cpus = slurm.relay.cpus if request.relay else slurm.cpus_per_gpu
    minutes = max(1, math.ceil(request.minutes))
    if slurm.max_minutes is not None:
        minutes = min(minutes, slurm.max_minutes)
    found: dict[str, Any] = {
        "job_name": request.name,
        "time": slurm.relay.minutes if request.relay else minutes,
        "nodes": nodes,
        "ntasks_per_node": tasks,
        "cpus_per_task": cpus,
        "partition": place["partition"],
        "account": place["account"],
        "qos": place["qos"],
        "constraint": place["constraint"],
        "exclude": ",".join(dict.fromkeys((*slurm.exclude, *request.exclude))) or None,
        "stderr_to_stdout": True,
        "setup": setup_lines(slurm) or None,
        "teardown": TEARDOWN,
        "wckey": None,
        "dependency": _dependency(request),
        **_memory(request, slurm, tasks, cpus),
        **(_gpus(slurm, tasks) if request.gpus else {}),
    }
    if request.array is not None:
        found |= {"map_count": request.array, "array_parallelism": request.at_once or request.array}
    found = {key: value for key, value in found.items() if value is not None}
    more = _more(request, slurm)
    for option, value in slurm.options.items():
        name = option.replace("-", "_")
        (found if name in found else more)[name if name in found else option] = value
    own = {"wckey": None, "srun_args": _srun(found["cpus_per_task"])}
    return found | own | {"additional_parameters": more}


def _place(request: Request, slurm: Slurm) -> dict[str, str | None]:
    keys = ("partition", "account", "qos", "constraint")
    of_all = {key: getattr(slurm, key) for key in keys}
    if not request.relay:
        return of_all
    own = {key: getattr(slurm.relay, key) for key in keys}
    if own["partition"] is not None:
        of_all |= {"qos": None, "constraint": None}  # of another partition
    return {key: own[key] or of_all[key] for key in keys}


def _more(request: Request, slurm: Slurm) -> dict[str, Any]:
    """Options that submitit has no parameter for, or takes from the environment."""
    more: dict[str, Any] = {"requeue": True, "signal": f"USR2@{slurm.signal_seconds}"}
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
    each = request.memory_per_gpu or slurm.memory_per_gpu
    if request.relay:
        each = slurm.relay.memory
    if each is None:
        return {}
    if slurm.memory_option == "mem-per-cpu":
        return {"mem_per_cpu": f"{round(1024 * each / cpus)}M"}
    return {"mem": f"{round(1024 * each * tasks)}M"}


def _dependency(request: Request) -> str | None:
    """Slurm takes either `,` (all) or `?` (any) between conditions."""
    if request.after_one:
        return "?".join(f"afterany:{job}" for job in request.after_one)
    parts = [("afterok", request.after_ok), ("afterany", request.after_any)]
    return ",".join(":".join((kind, *jobs)) for kind, jobs in parts if jobs) or None


def setup_lines(slurm: Slurm) -> list[str]:
    """Lines of the script before its command."""
    lines = list(slurm.setup)
    lines += [f"export {name}={shlex.quote(to)}" for name, to in slurm.environment.items()]
    if slurm.scratch is not None:
        lines.append(f'export TMPDIR="{slurm.scratch}"')
    return lines


def _srun(cpus: int | str) -> list[str]:
    # srun does not take cpus-per-task from sbatch since 22.05; a rank that dies ends the others.
    return [f"--cpus-per-task={cpus}", "--kill-on-bad-exit=1", "--wait=0", "--open-mode=append"]


# The raw id of an array's last element is that of the whole array, which would be requeued with it.
_ITSELF = '"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"'
TEARDOWN = [
    "code=$?",
    f'if [ "$code" -eq {REQUEUE_EXIT_CODE} ]; then  # interrupted, saved, to be continued',
    "    for attempt in {1..20}; do  # slurmctld may be down for some minutes",
    f"        scontrol requeue {_ITSELF} && sleep 120 && break  # ended by it",
    "        sleep 15",
    "    done",
    "fi",
    'exit "$code"',
]


def _check(request: Request) -> None:
    """Nothing in it begins a line of the script, or is expanded by Slurm."""
    logs = str(request.logs.resolve())
    if not request.name.isprintable():
        raise SlurmError(f"{request.name!r} cannot name a job: control characters")
    if not logs.isprintable() or re.search(r"[%'\"\\`$]", logs):
        raise SlurmError(
            f"{logs!r}: Slurm cannot write logs below a path with %, quotes, $ or control "
            "characters; choose another --store"
        )
