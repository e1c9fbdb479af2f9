"""Make the requests for the jobs of a study: its arrays and its relay."""

import os

from hpc_xfer.slurm.request import Request
from hpc_xfer.store.code_snapshot import CodeSnapshot, snapshot_in
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.submission_ledger import job_name
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.labels import brief_label
from hpc_xfer.system.written_path import absolute

_START_MINUTES = 5  # of a job before its first run: imports, data sets


def request_of(
    launched: LaunchedStudy, array: JobArray, number: int, minutes_factor: int = 1
) -> Request:
    """The request for an array; the caller adds dependencies.

    Args:
        number: how often the array has been submitted, with this time.
        minutes_factor: above 1 after a time limit.
    """
    study = launched.study.name
    parent = array.parents[0] if array.kind == "finetune" else array.packs[0].runs[0]
    shots = "" if array.shots is None else array.shots
    kind = "pre" if array.kind == "pretrain" else f"ft{shots}"
    label, key = brief_label(launched.labels[parent.id]), f"{array.id}-{launched.store.tag}"
    return Request(
        name=job_name(kind, label, study, key, number),
        command=command(launched, "job", "--batch", array.id),
        logs=launched.store.study(study).logs,
        minutes=array.minutes * minutes_factor + _START_MINUTES,
        tasks=array.gpus,
        array=None if array.kind == "pretrain" else len(array.packs),
    )


def relay_request(launched: LaunchedStudy, number: int) -> Request:
    """The request for the relay job; the caller adds dependencies."""
    study = launched.study.name
    return Request(
        name=job_name("relay", study, launched.store.tag, number),
        command=command(launched, "relay"),
        logs=launched.store.study(study).logs,
        minutes=launched.site.slurm.relay.minutes,
        gpus=False,
        relay=True,
    )


def command(launched: LaunchedStudy, module: str, *more: str) -> tuple[str, ...]:
    """The command of a job of a launched study."""
    return command_of(launched, module, "--study", launched.study.name, *more)


def command_of(launched: LaunchedStudy, module: str, *more: str) -> tuple[str, ...]:
    """A command of this package, run by this Python, from any folder.

    It runs the snapshot of our code, which `take_snapshot` must have written before the job starts.
    Paths are told as the user wrote them: a link of this host may be a mount on the nodes.
    """
    code = snapshot_in(launched.store)
    call = ["env", f"PYTHONPATH={python_path(code)}", *code.command(module)]
    call += ["--store", str(absolute(launched.store.root))]
    return (*call, *(["--site", str(launched.site_file)] if launched.site_file else []), *more)


def python_path(code: CodeSnapshot) -> str:
    """PYTHONPATH of a job: the snapshot of our code, then what the user's own names."""
    own = [str(absolute(each)) for each in os.environ.get("PYTHONPATH", "").split(":") if each]
    return ":".join(dict.fromkeys([str(code.path), *own]))
