"""Errors that end a question at once, and those after which it is asked again."""

import pytest

from hpc_xfer.errors import SlurmError
from hpc_xfer.slurm.answers import is_final
from hpc_xfer.slurm.commands import run_with_retries
from tests.conftest import Command

FINAL = """\
Batch job submission failed: Invalid partition name specified
invalid partition specified: ghost; Batch job submission failed: Invalid partition name specified
Ask the help desk to connect you; Batch job submission failed: Job violates accounting/QOS policy
allocation failure: Invalid qos specification
Batch job submission failed: Invalid account or account/partition combination specified
Batch job submission failed: Invalid job array specification
Memory specification can not be satisfied; Batch job submission failed: Requested node \
configuration is not available
Invalid generic resource (gres) specification
Batch job submission failed: Requested reservation is invalid
Batch job submission failed: Job dependency problem
"foo" is not a valid node count
unrecognized option '--nope'; Try "sbatch --help" for more information
QOSMaxWallDurationPerJobLimit; Batch job submission failed: Job violates accounting/QOS policy \
(job submit limit, user's size and/or time limits)
slurm_load_jobs error: Invalid job id specified
slurm_load_ctl_conf error: Access/permission denied
No cluster 'nope' known by database.
invalid keyword: nope"""
OPEN = """\
Unable to contact slurm controller (connect failure)
Unable to contact slurm controller (connect failure); Invalid job id specified
slurm_load_jobs error: Unexpected message received
Socket timed out on send/recv operation
Protocol authentication error
Invalid authentication credential
Munge encode failed: Failed to access "/run/munge/munge.socket.2": Permission denied
Slurm backup controller in standby mode
Controller is in standby mode, try a different controller
resolve_ctls_from_dns_srv: res_nsearch error: Unknown host
Could not establish a configuration source
'gpu' can't be reached now, or it is an invalid entry for --cluster.
invalid argument; Batch job submission failed: Unable to contact slurm controller (connect failure)
Munge encode failed: Permission denied; Batch job submission failed: Unspecified error
Job can not be altered now, try again later
Batch job submission failed: Unspecified error
a message of a later version"""


@pytest.mark.parametrize("complaint", FINAL.splitlines())
def test_a_refusal_of_the_request_itself_is_final(complaint: str) -> None:
    assert is_final(complaint)


@pytest.mark.parametrize("complaint", OPEN.splitlines())
def test_any_other_error_may_pass(complaint: str) -> None:
    assert not is_final(complaint)


def counted(command: Command, says: str, succeeds_at: int = 99) -> str:
    """A squeue that fails until it has been asked so often."""
    command("squeue", f"echo >> $0.calls; [ $(wc -l < $0.calls) -ge {succeeds_at} ] && "
            f"{{ echo yes; exit 0; }}; echo '{says}' >&2; exit 1")  # fmt: skip
    return "squeue"


def test_a_question_is_asked_again_until_it_is_answered(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_XFER_SLURM_PATIENCE", "1")
    squeue = counted(command, "slurm_load_jobs error: Unexpected message received", succeeds_at=4)
    assert run_with_retries([squeue]) == "yes\n"


def test_no_question_is_asked_for_ever(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_XFER_SLURM_PATIENCE", "0.1")
    squeue = counted(command, "squeue: error: Munge encode failed")
    with pytest.raises(SlurmError) as error:
        run_with_retries([squeue])
    assert str(error.value) == ("squeue failed: Munge encode failed; try again when Slurm answers")


def test_a_refusal_ends_a_question_at_once(command: Command) -> None:
    squeue = counted(command, "slurm_load_jobs error: Access/permission denied", succeeds_at=2)
    with pytest.raises(SlurmError, match="permission denied; correct what Slurm names"):
        run_with_retries([squeue])
