"""Check the options of sbatch that a site adds: none may replace what the jobs rely on."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator


def _plain(text: str) -> str:
    """Refuse text that could begin a line of its own in a batch script."""
    if not re.fullmatch(r"[\w.,:;=@%+*&|!/()\[\]-]+", text):
        raise ValueError(f"{text!r} has characters not allowed in an sbatch option; remove them")
    return text


OneWord = Annotated[str, AfterValidator(_plain)]

_NAMES = "the program names its jobs, and finds them by their names; leave it out"
_FILES = "the program chooses where output goes, and reads it there; leave it out"
_ORDER = "the program orders its jobs; leave it out"
_TIME = "set `minutes` under `resources` in the grid, or max_minutes here"
_REQUEUE = "jobs save, requeue and continue by themselves; set max_minutes or signal_seconds"
_NODES = "set gpus_per_node, and `gpus` under `resources` in the grid"
_GPUS = "set gpus_per_node, gpu_option and gpu_type"
_BIND = "each process takes its own GPU, and NCCL reaches only those that it sees; leave it out"
_CPUS = "set cpus_per_gpu"
_MEMORY = "set memory_per_gpu and memory_option"
_VARIABLES = "set `environment`, or lines of `setup` such as `module purge`"
_USER = "jobs run as the user who launches; leave it out"
_SBATCH = "the program reads what sbatch answers; leave it out"
_FOLDER = "write `cd FOLDER` as a line of `setup`"
# Options that say what the program itself says, and where to say it instead.
_OURS = {
    "job-name": _NAMES,
    "output": _FILES, "error": _FILES, "input": _FILES, "open-mode": _FILES,
    "array": _ORDER, "dependency": _ORDER, "kill-on-invalid-dep": _ORDER, "begin": _ORDER,
    "hold": "a held job never starts; use `scontrol hold` once it is in the queue",
    "time": _TIME, "time-min": _TIME,
    "signal": "set signal_seconds", "requeue": _REQUEUE, "no-requeue": _REQUEUE,
    "no-kill": "a job ends when one of its nodes fails, and starts again; leave it out",
    "nodes": _NODES, "ntasks": _NODES, "ntasks-per-node": _NODES, "tasks-per-node": _NODES,
    "ntasks-per-core": _NODES, "ntasks-per-socket": _NODES, "ntasks-per-gpu": _NODES,
    "gpus": _GPUS, "gpus-per-node": _GPUS, "gpus-per-task": _GPUS, "gpus-per-socket": _GPUS,
    "gpu-bind": _BIND, "tres-bind": _BIND,
    "tres-per-task": "set cpus_per_gpu, and gpu_option: gpus-per-task",
    "cpus-per-task": _CPUS, "cpus-per-gpu": _CPUS,
    "mem": _MEMORY, "mem-per-cpu": _MEMORY, "mem-per-gpu": "set memory_per_gpu",
    "clusters": "set slurm.cluster, which every command of Slurm is told",
    "partition": "set `partition`", "account": "set `account`", "qos": "set `qos`",
    "constraint": "set `constraint`", "exclude": "set `exclude`",
    "reservation": "set `reservation`",
    "export": _VARIABLES, "export-file": _VARIABLES, "get-user-env": _VARIABLES,
    "chdir": _FOLDER, "workdir": _FOLDER,
    "uid": _USER, "gid": _USER,
    "wait": _SBATCH, "wrap": _SBATCH, "parsable": _SBATCH, "test-only": _SBATCH, "quiet": _SBATCH,
    "verbose": _SBATCH, "help": _SBATCH, "usage": _SBATCH, "version": _SBATCH,
}  # fmt: skip
_LONG = {
    "J": "job-name", "o": "output", "e": "error", "i": "input", "a": "array", "d": "dependency",
    "b": "begin", "H": "hold", "t": "time", "N": "nodes", "n": "ntasks", "c": "cpus-per-task",
    "G": "gpus", "M": "clusters", "p": "partition", "A": "account", "q": "qos", "C": "constraint",
    "x": "exclude", "D": "chdir", "W": "wait", "k": "no-kill", "Q": "quiet", "v": "verbose",
}  # fmt: skip
# What the relay has settings of its own for.
_IN_RELAY = {
    "time": "set `minutes` of the relay", "time-min": "set `minutes` of the relay",
    "cpus-per-task": "set `cpus` of the relay",
    "mem": "set `memory` of the relay", "mem-per-cpu": "set `memory` of the relay",
    "mem-per-gpu": "the relay has no GPU; leave it out",
    **dict.fromkeys(
        ("nodes", "ntasks", "ntasks-per-node", "tasks-per-node", "ntasks-per-core",
         "ntasks-per-socket"),
        "the relay is one process; leave it out",
    ),
    **dict.fromkeys(
        ("gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket", "cpus-per-gpu",
         "tres-per-task", "ntasks-per-gpu"),
        "the relay has no GPU; where the partition wants one in each job, write `gres`",
    ),
    **{
        name: f"set `{name}` of the relay" for name in ("partition", "account", "qos", "constraint")
    },
    "exclude": "the relay avoids what `exclude` of slurm names; set it there",
    "reservation": "the relay uses no reservation; leave it out",
}  # fmt: skip


def _name(text: str, hints: Mapping[str, str]) -> str:
    """The long name of an option as sbatch knows it.

    Raises:
        ValueError: it says what the program itself says.
    """
    name = _LONG.get(text, text.replace("_", "-"))
    if re.fullmatch(r"[a-z][a-z0-9-]+", name) is None:
        raise ValueError(
            f"{text!r} is not the long name of an sbatch option; write it without dashes in front"
        )
    # sbatch takes an option by the beginning of its name too: `--mem-per-g`.
    meant = name if name in hints else next((one for one in hints if one.startswith(name)), None)
    if meant is not None:
        what = "" if meant == text.replace("_", "-") else f"sbatch reads it as {meant}: "
        raise ValueError(f"{what}jobs rely on this option; {hints[meant]}")
    return name


OptionName = Annotated[str, AfterValidator(lambda text: _name(text, _OURS))]
RelayOptionName = Annotated[str, AfterValidator(lambda text: _name(text, _OURS | _IN_RELAY))]


def check_gres(options: Mapping[str, str], gpu_option: str) -> None:
    """Refuse a `gres` that would replace, or add to, the GPUs of a job.

    Raises:
        ValueError: with the way out.
    """
    gres = options.get("gres")
    if gres is None:
        return
    if gpu_option == "gres":
        raise ValueError(
            f"options: gres: {gres} would replace the GPUs; set gpu_option: gpus-per-node to add it"
        )
    if re.search(r"(^|,)(gres[:/])?gpu\b", gres):
        raise ValueError(
            f"options: gres: {gres} names GPUs; set gpu_option: gres, gpu_type and gpus_per_node"
        )
