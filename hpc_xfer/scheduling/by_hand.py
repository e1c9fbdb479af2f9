"""Write the shell script that submits a study by hand, with the files in sbatch/.

Its options of sbatch, set-up lines and requeue are those of the script that `launch` would submit.
Values that the site file sets for jobs are not printed: others may read where the lines are kept.
"""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import hpc_xfer
from hpc_xfer.errors import StudyError
from hpc_xfer.scheduling.concurrency_limit import ConcurrencyLimit
from hpc_xfer.scheduling.job_preview import usual_arrays
from hpc_xfer.scheduling.job_requests import command, python_path, relay_request, request_of
from hpc_xfer.slurm.batch_script import TEARDOWN, sbatch_flags, setup_lines
from hpc_xfer.slurm.clusters import cluster_of
from hpc_xfer.slurm.commands import unset_leaking
from hpc_xfer.slurm.parsing import Queue
from hpc_xfer.slurm.request import Request
from hpc_xfer.store.code_snapshot import snapshot_in
from hpc_xfer.store.launched_study import LaunchedStudy
from hpc_xfer.store.submission_ledger import Ledger, job_name
from hpc_xfer.system.written_path import absolute

_SCRIPTS = Path(hpc_xfer.__file__).parent.parent / "sbatch"
# In ( ), so that a shell in an allocation keeps its own variables, with which jobs would not start.
# In a federation sbatch adds the name of the cluster, which no dependency takes.
_SUBMIT = f"""\
submit() (
    {unset_leaking()}
    job=$(sbatch --parsable "$@") && echo "${{job%%;*}}"
)"""
_NUMBER = 0  # in job names; those of a launch begin with 1


def by_hand(launched: LaunchedStudy, done: set[str]) -> Iterator[str]:
    """Yield the lines of the script, and write the manifests that its jobs read.

    Raises:
        StudyError: the files of sbatch/ are not there.
    """
    if not _SCRIPTS.is_dir():
        raise StudyError(
            f"{_SCRIPTS}: is not there, as this is not a checkout; launch without --by-hand, or "
            "call it with the Python of a checkout"
        )
    variables = _variables(launched)
    yield "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    yield from _set_up(launched)
    yield _SUBMIT
    jobs: dict[str, str] = {}  # run -> shell variable with its job id
    limit = ConcurrencyLimit(launched, Ledger(launched.store), Queue())
    for number, array in enumerate(usual_arrays(launched, launched.plan.without(done)), 1):
        resources = launched.study.resources.of(array.kind).model_dump(mode="json")
        launched.store.write_manifest(launched.study.name, array, resources)
        request = replace(
            limit.limited(request_of(launched, array, _NUMBER), array),
            after_ok=tuple(jobs[run.id] for run in array.parents if run.id in jobs),
        )
        script = "pretrain.sbatch" if array.kind == "pretrain" else "finetune_array.sbatch"
        call = _call(launched, request, script)
        yield f"job_{number}=$(BATCH={array.id} submit {call})"
        limit.append(array, f"$job_{number}")
        jobs |= dict.fromkeys((run.id for run in array.runs), f"$job_{number}")
    name = job_name("collect", launched.study.name, launched.store.tag, "by-hand", _NUMBER)
    last = replace(
        relay_request(launched, _NUMBER), name=name, after_any=tuple(dict.fromkeys(jobs.values()))
    )
    yield f"submit {_call(launched, last, 'collect.sbatch')}"


def _variables(launched: LaunchedStudy) -> dict[str, str]:
    """The variables that the files in sbatch/ read."""
    code = snapshot_in(launched.store)
    return {
        "STORE": str(absolute(launched.store.root)),
        "STUDY": launched.study.name,
        "PYTHON": code.command("job")[0],
        "CODE": str(code.path),
        "XFER_PATH": python_path(code),  # a site may set PYTHONPATH
        "GRID": str(absolute(launched.study.path)),
        **({"SITE": str(launched.site_file)} if launched.site_file else {}),
        "TEARDOWN": "\n".join(TEARDOWN),
    }


def _set_up(launched: LaunchedStudy) -> Iterator[str]:
    """Yield the lines that set SETUP, to what the site file says when they run."""
    slurm = launched.site.slurm
    if launched.site_file is None:  # then nothing sets a value
        yield f"export SETUP={shlex.quote(chr(10).join(setup_lines(slurm)))}"
        return
    call = command(launched, "scheduling.set_up_lines")
    yield "# SETUP is not shown: values of `environment` and `setup` may be secrets"
    yield f"SETUP=$({shlex.join(call)}) || exit 1"
    yield "export SETUP"


def _call(launched: LaunchedStudy, request: Request, script: str) -> str:
    """Arguments of sbatch: the options of the script, and the cluster."""
    slurm = launched.site.slurm
    flags = sbatch_flags(request, slurm)
    for i, flag in enumerate(flags):
        option, _, value = flag.partition("=")
        if option == "--dependency":
            flags[i] = f'{option}="{value.strip(chr(39))}"'  # the shell puts in the job ids
    flags += [f"--clusters={cluster}"] if (cluster := cluster_of(slurm)) else []
    return " ".join([*flags, shlex.quote(str(_SCRIPTS / script))])
