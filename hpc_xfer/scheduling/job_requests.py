"""A study on its way to Slurm, and what is asked for each of its batches."""

import os
import sys
from pathlib import Path

import hpc_xfer
from hpc_xfer.slurm.request import Request
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.submission_ledger import job_name
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.labels import brief_label

_START_MINUTES = 5  # of a job besides its runs: imports, data sets


def request_of(launched: LaunchedStudy, batch: JobArray, number: int) -> Request:
    """A batch, asked for the `number`-th time; what it waits for is added by the caller."""
    study = launched.study.name
    parent = batch.parents[0] if batch.parents else batch.packs[0].runs[0]
    kind = "pre" if batch.kind == "pretrain" else f"ft{batch.shots}"
    label, key = brief_label(launched.labels[parent.id]), f"{batch.id}-{launched.store.tag}"
    return Request(
        name=job_name(kind, label, study, key, number),
        command=command(launched, "job", "--batch", batch.id),
        logs=launched.store.study(study).logs,
        minutes=batch.minutes + _START_MINUTES,
        tasks=batch.gpus,
        array=None if batch.kind == "pretrain" else len(batch.packs),
    )


def relay_request(launched: LaunchedStudy, number: int) -> Request:
    """The job behind everything; what it waits for is added by the caller."""
    study = launched.study.name
    return Request(
        name=job_name("relay", study, launched.store.tag, "relay", number),
        command=command(launched, "relay"),
        logs=launched.store.study(study).logs,
        minutes=launched.site.slurm.relay.minutes,
        gpus=False,
        relay=True,
    )


def command(launched: LaunchedStudy, module: str, *more: str) -> tuple[str, ...]:
    """What a job of a launched study runs."""
    return command_of(launched, module, "--study", launched.study.name, *more)


def command_of(launched: LaunchedStudy, module: str, *more: str) -> tuple[str, ...]:
    """This very Python and this very package, from any folder."""
    package = str(Path(hpc_xfer.__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    call = ["env", f"PYTHONPATH={':'.join(dict.fromkeys(paths))}", sys.executable, "-u"]
    call += ["-m", f"hpc_xfer.{module}", "--store", str(launched.store.root.resolve())]
    return (*call, *(["--site", str(launched.site_file)] if launched.site_file else []), *more)
