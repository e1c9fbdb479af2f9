"""The one file that knows submitit and the Slurm commands.

    job = submit(Request("pre.clip.study", command, logs, minutes=60, tasks=16), site.slurm)
    queue().lines[job].state

submitit writes the batch script and hands it in; what it starts is our own command, not a pickle:
a launcher that dies between `sbatch` and the renaming of pickles would leave jobs that cannot
start, and pickles are code.
"""

import contextlib
import io
import math
import os
import pwd
import re
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.node_layout import spread_over_nodes
from hpc_xfer.config.site import Slurm
from hpc_xfer.errors import SlurmError, SubmitLimit
from hpc_xfer.squeue import (
    ACCOUNTED,
    FIELDS,
    Queue,
    QueueLine,
    minutes_of,
    read_accounting,
    read_queue,
)

if TYPE_CHECKING:
    from submitit import SlurmExecutor

REQUEUE_EXIT_CODE = 85  # of a job that was interrupted, has saved itself and wants to go on
COMMAND_SECONDS = 60  # for one command; slurmctld under load answers late
_SACCT_SECONDS = 10  # refines what we know already; a dead slurmdbd must not hold us up
_PAUSES = (0.5, 1, 2, 4)  # before a question is asked again
_JOBS_PER_CALL = 500  # in one command line
_SPARE_JOBS = 100  # below MaxJobCount, which all users share
TRANSIENT_SIGNS = ("Unable to contact", "Socket timed out", "temporarily", "Transport endpoint",
              "Zero Bytes were transmitted", "Connection refused")  # fmt: skip
_FULL = ("too many jobs", "temporarily unable to accept")
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
# The user's defaults beat lines of the script, hide jobs from squeue and spare them from scancel.
_OF_THE_USER = ("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_")
_OF_THE_CLUSTER = ("SLURM_CONF", "SLURM_JWT")  # where it is, and who we are to it


@dataclass(frozen=True)
class Request:
    """One call of sbatch: what it is to start and what that needs."""

    name: str
    command: tuple[str, ...]  # of each task
    logs: Path  # folder
    minutes: float
    tasks: int = 1  # processes in all; each has a GPU where `gpus`
    gpus: bool = True
    array: int | None = None  # elements
    at_once: int | None = None  # of the array
    after_ok: tuple[str, ...] = ()  # job ids: all must have succeeded
    after_any: tuple[str, ...] = ()  # all must have ended
    after_one: tuple[str, ...] = ()  # one must have ended
    begin_minutes: int = 0  # not before that from now
    memory_per_gpu: float | None = None  # GB, instead of the site's
    exclude: tuple[str, ...] = ()  # nodes, besides the site's
    relay: bool = False  # a small CPU job: where and how large is said by the site's `relay`


@dataclass(frozen=True)
class Limits:
    """What Slurm would take now."""

    array: int = 1001  # elements of one array
    room: int | None = None  # more elements; None: nothing known


def is_installed() -> bool:
    return shutil.which("sbatch") is not None


# The batch script


def script_text(request: Request, slurm: Slurm) -> str:
    """The text that `submit` hands to sbatch."""
    executor = make_executor(request, slurm, SbatchCall())
    return str(executor._make_submission_file_text(shlex.join(request.command), ""))


def submit_job(request: Request, slurm: Slurm) -> str:
    """Hand in; returns the job id.

    Raises:
        SubmitLimit: the queue is full for us; it may be taken later.
        SlurmError: refused. Where `unknown` is set, it may have been taken all the same: look for
            its name in the queue before trying again.
    """
    call = SbatchCall()
    executor = make_executor(request, slurm, call)
    try:
        request.logs.mkdir(parents=True, exist_ok=True)
        with _clean_environment(), _quiet():
            executor._submit_command(shlex.join(request.command))
    except Exception as error:  # submitit's own kinds, and what sbatch said as text
        if call.job is None:  # else Slurm has it, and only the script in the logs is amiss
            raise _refusal(error, call) from error
    finally:
        if call.file is not None:
            with contextlib.suppress(OSError):
                call.file.unlink()  # a link to <job>_submission.sh, or the script of a refused job
    assert call.job is not None
    return call.job


def sbatch_flags(request: Request, slurm: Slurm) -> list[str]:
    """The options of sbatch that a request comes to, for scripts that are submitted by hand."""
    wanted = ("partition", "account", "qos", "constraint", "exclude", "nodes", "ntasks_per_node",
              "cpus_per_task", "gpus_per_node", "gpus_per_task", "gres", "mem", "mem_per_cpu",
              "time")  # fmt: skip
    values = sbatch_parameters(request, slurm)
    return [
        f"--{key.replace('_', '-')}={shlex.quote(str(values[key]))}"
        for key in wanted
        if values.get(key) is not None
    ]


def is_submitting(logs: Path) -> bool:
    """Whether an sbatch of ours runs on this host, as one whose launcher was killed may do."""
    mark = f"{logs.resolve()}/.submission_file_".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue  # gone
        if mark in words and b"sbatch" in words:
            return True
    return False


def refusal_of(request: Request, slurm: Slurm) -> str | None:
    """What Slurm has against it (sbatch --test-only); None where it would be taken.

    Raises:
        SlurmError: Slurm does not answer.
    """
    done = run_command(["sbatch", "--test-only"], script_text(request, slurm))
    if done.returncode:
        return complaint_in(done.stderr)
    asked = sbatch_parameters(request, slurm)
    time, most = asked["time"], _most_minutes(asked.get("partition"))
    if most is None or not isinstance(time, int) or time <= most:  # text: the site's own `options`
        return None
    # Slurm may take it all the same, and let it wait for ever.
    return f"asks for {time} min, but the partition grants {most:g}; set max_minutes: {int(most)}"


def _most_minutes(partition: str | None) -> float | None:
    """The time limit of a partition, or of the default one; None where there is none."""
    for row in ask(["sinfo", "-h", "-a", "-o", "%P|%l"]).splitlines():
        name, _, limit = row.partition("|")
        if partition == name.rstrip("*") or (partition is None and name.endswith("*")):
            return minutes_of(limit)
    return None


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
        "setup": _setup(slurm) or None,
        "teardown": _TEARDOWN,
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


def _setup(slurm: Slurm) -> list[str]:
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
_TEARDOWN = [
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


def is_leaking(name: str) -> bool:
    return name.startswith((*_OF_A_JOB, *_OF_THE_USER)) and name not in _OF_THE_CLUSTER


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    """Without what a surrounding job left or the user has set as defaults."""
    gone = {name: os.environ.pop(name) for name in list(os.environ) if is_leaking(name)}
    try:
        yield
    finally:
        os.environ.update(gone)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """submitit prints what sbatch complains of; our error carries it."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


def _refusal(error: Exception, call: SbatchCall) -> SlurmError:
    words = complaint_in(str(error)) or type(error).__name__
    if not call.made:
        return SlurmError(f"no job was submitted: {words}; see the disk and its quota")
    code = getattr(error.__cause__, "returncode", None)
    if code is not None and _is_full(words):  # 124 too: sbatch waits where it is full
        return SubmitLimit(f"Slurm takes no more jobs now: {words}")
    refused = code is not None and 0 < code < 128 and code != 124  # by no signal and no `timeout`
    if not refused or any(sign in words for sign in TRANSIENT_SIGNS):
        said = f"sbatch gave no clear answer: {words}; launch again, which looks for the job"
        return SlurmError(said, unknown=True)
    return SlurmError(f"Slurm refused a job: {words}; see `doctor` and the site file")


def _is_full(words: str) -> bool:
    """Limits on submitted jobs pass, those on time or size do not; old Slurms name none."""
    if limits := re.findall(r"\b(?:QOS|Assoc)\w+", words):
        return any("SubmitJob" in limit for limit in limits)
    return "violates accounting" in words or any(sign in words for sign in _FULL)


def complaint_in(text: str) -> str:
    """What a command complained of, as one line."""
    lines = (line.strip() for line in text.splitlines())
    said = (re.sub(r"^(sbatch|squeue|scancel|scontrol|allocation): ", "", line) for line in lines)
    kept = [re.sub(r"^error: ", "", line) for line in said]
    return "; ".join(dict.fromkeys(line for line in kept if line))


# Questions


def current_queue() -> Queue:
    """One look at the whole queue, in one call.

    Raises:
        SlurmError: Slurm does not answer.
    """
    mark = secrets.token_hex(4)  # others may put line breaks into names, but not this
    command = ["squeue", "-h", "-a", "-r", "-t", "all", "-o", f"{mark}|{FIELDS}"]
    return read_queue(ask(command), current_user(), f"{mark}|")


def current_user() -> str:
    """As Slurm calls us, whatever USER says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def jobs_are_private() -> bool:
    """Whether squeue may keep other users' jobs from us."""
    return bool({"jobs", "all"} & set(slurm_config().get("PrivateData", "").split(",")))


def node_names(partition: str | None) -> list[str]:
    """The names of the nodes that a partition, or the cluster, has now."""
    where = ["-p", partition] if partition else []
    text = ask_optional(["sinfo", "-h", "-a", "-N", "-o", "%N", *where]) or ""
    return sorted(set(text.split()))


def release_jobs(jobs: Collection[str]) -> None:
    """Let go of jobs that Slurm held because their node could not begin them.

    Raises:
        SlurmError: refused.
    """
    for some in portions(sorted(jobs)):
        ask(["scontrol", "release", ",".join(some)])


def ended_jobs(jobs: Collection[str]) -> dict[str, QueueLine]:
    """What accounting knows of jobs that are over; nothing where there is none or it is dead."""
    found: dict[str, QueueLine] = {}
    for some in portions(sorted({job.split("_")[0] for job in jobs})):
        command = ["sacct", "-n", "-P", "-X", "-j", ",".join(some)]
        text = ask_optional([*command, "-o", ACCOUNTED])
        if text is None:
            break
        found |= read_accounting(text)
    return {job: line for job, line in found.items() if not line.live}


def submit_limits(slurm: Slurm, now: Queue) -> Limits:
    """How large an array may be and how many elements more fit into the queue."""
    config = slurm_config()
    rooms = list(_submit_rooms(slurm, now, config.get("ClusterName")))
    for most in _numbers(config, "MaxJobCount"):
        rooms.append(most - max(1, min(_SPARE_JOBS, most // 10)) - now.everybodys)
    if slurm.max_jobs is not None:
        rooms.append(slurm.max_jobs - now.mine)
    return Limits(_array(slurm, config), max(0, min(rooms)) if rooms else None)


def slurm_config() -> dict[str, str]:
    """Slurm's own settings; none where they are not shown to users."""
    try:
        text = ask(["scontrol", "show", "config"])
    except SlurmError:
        return {}
    return dict(re.findall(r"^(\w+)\s+= (.*\S)", text, re.M))


def _array(slurm: Slurm, config: Mapping[str, str]) -> int:
    """Elements of an array: Slurm limits the index, and may limit the number as well."""
    most = [next(_numbers(config, "MaxArraySize"), Limits.array)]
    parameters = config.get("SchedulerParameters", "")
    most += map(int, re.findall(r"\bmax_array_tasks=(\d+)", parameters))
    most += [slurm.max_array] if slurm.max_array is not None else []
    return max(1, min(most))


def _submit_rooms(slurm: Slurm, now: Queue, cluster: str | None) -> Iterator[int]:
    """By the limits of my association and of the QOS that applies; nothing without accounting."""
    columns = ["DefaultAccount", "Account", "Partition", "DefaultQOS", "MaxSubmitJobs",
               "GrpSubmitJobs"]  # fmt: skip
    command = ["sacctmgr", "-n", "-P", "show", "user", current_user(), "withassoc"]
    command += [f"cluster={cluster}"] if cluster else []  # one slurmdbd may serve several
    qos = {slurm.qos} if slurm.qos else set()
    for row in _table(command, columns):
        if row["Account"] != (slurm.account or row["DefaultAccount"]):
            continue
        if row["Partition"] not in ("", slurm.partition):
            continue
        yield from (most - now.mine for most in _numbers(row, "MaxSubmitJobs", "GrpSubmitJobs"))
        qos |= {row["DefaultQOS"] or "normal"} if not slurm.qos else set()
    columns = ["Name", "MaxSubmitPU", "MaxSubmitPA", "GrpSubmit"]
    for row in _table(["sacctmgr", "-n", "-P", "show", "qos"], columns) if qos else []:
        if row["Name"] in qos:
            mine = now.mine_by_qos.get(row["Name"], 0)
            yield from (most - mine for most in _numbers(row, *columns[1:]))


def _numbers(row: Mapping[str, str], *keys: str) -> Iterator[int]:
    return (int(row[key]) for key in keys if row.get(key, "").isdigit())


def _table(command: list[str], columns: list[str]) -> list[dict[str, str]]:
    text = ask_optional([*command, f"format={','.join(columns)}"]) or ""
    rows = (line.split("|") for line in text.splitlines())
    return [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]


# Orders


def cancel_jobs(jobs: Collection[str]) -> None:
    """Whole arrays, elements or jobs; one that is over already is no error.

    Raises:
        SlurmError: Slurm does not answer.
    """
    for some in portions(sorted(jobs)):
        ask(["scancel", "--quiet", *some])


def requeue_jobs(jobs: Collection[str]) -> None:
    """Start running jobs again.

    Raises:
        SlurmError: refused.
    """
    for some in portions(sorted(jobs)):
        ask(["scontrol", "requeue", ",".join(some)])


def portions(jobs: list[str]) -> Iterable[list[str]]:
    return (jobs[start : start + _JOBS_PER_CALL] for start in range(0, len(jobs), _JOBS_PER_CALL))


def ask(command: list[str]) -> str:
    """Standard output; what passes (a controller that restarts) is asked again."""
    for pause in (*_PAUSES, None):
        done = run_command(command)
        if done.returncode == 0:
            return done.stdout
        words = complaint_in(done.stderr)
        if pause is None or not any(sign in words for sign in TRANSIENT_SIGNS):
            break
        time.sleep(pause)  # a controller that restarts tells nobody when it is back
    raise SlurmError(f"{command[0]} failed: {words or done.returncode}; try again later")


def ask_optional(command: list[str]) -> str | None:
    """Standard output of what accounting may tell us; None where there is none, or it is dead."""
    try:
        done = _call(command, None, _SACCT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def run_command(command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return _call(command, text, COMMAND_SECONDS)
    except FileNotFoundError:
        raise SlurmError(
            f"{command[0]} is not on PATH: this is no login node; use --on local"
        ) from None
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{command[0]} gave no answer in {COMMAND_SECONDS} s; try again when Slurm answers"
        ) from None


def _call(command: list[str], text: str | None, seconds: float) -> subprocess.CompletedProcess[str]:
    """Names of other people's jobs may hold bytes that are no text."""
    env = {name: value for name, value in os.environ.items() if not is_leaking(name)}
    env["SLURM_BITSTR_LEN"] = "0"  # else a list of elements is cut after 64 characters
    return subprocess.run(
        command, input=text, capture_output=True, encoding="utf-8", errors="replace",
        env=env, timeout=seconds,
    )  # fmt: skip
