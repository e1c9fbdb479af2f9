"""Say in plain words why a job waits: squeue shows a code word that few users know.

    plain_reason("QOSMaxCpuPerUserLimit")     # "a limit of your QOS is reached"

A reason that is not here is shown as Slurm says it.
"""

import functools
import re

from hpc_xfer.study.state_words import JUST_SUBMITTED

_PLAIN = (
    (r"", "Slurm starts them at any moment"),
    (r"None", "Slurm starts them at any moment"),
    (r"Resources", "not enough of the cluster is free"),
    (r"Priority", "jobs of higher priority come first"),
    (r"Dependency", "an earlier job has not ended"),
    (r"DependencyNeverSatisfied", "an earlier job failed; launch again"),
    (r"JobArrayTaskLimit", "as many of their array run as may (max_running)"),
    (r"BeginTime", "Slurm waits a while before it starts them, as after a requeue"),
    (r"JobHeldUser", "somebody of your account holds them; `scontrol release JOB` frees them"),
    (r"JobHeldAdmin", "an administrator holds them; ask why"),
    (
        r"launch failed requeued held",
        "a node could not start them, so Slurm holds them; the relay or the next launch frees them",
    ),
    (
        r"job requeued in held state",
        "they were requeued and are held; `scontrol release JOB` frees them",
    ),
    (
        r"ReqNodeNotAvail.*|Nodes required for job are DOWN.*|NodeDown|NODE FAIL",
        "the nodes are down, drained or reserved",
    ),
    (r"Partition(Down|Inactive)", "their partition starts no jobs now"),
    (
        r"PartitionTimeLimit",
        "they ask for more time than the partition allows; change minutes or partition",
    ),
    (
        r"Partition(NodeLimit|Config)",
        "they ask for more than the partition allows; change the site file",
    ),
    (r"(QOS|Qos).*", "a limit of your QOS is reached"),
    (r"Max\w*PerAccount|Assoc.*", "a limit of your account is reached"),
    (r"InvalidQOS", "their QOS is not valid for you; change it in the site file"),
    (r"InvalidAccount|AccountNotAllowed", "their account is not valid; change it in the site file"),
    (r"BadConstraints|FedJobLock", "no node fits what they ask for; change the site file"),
    (r"Licenses", "they wait for a licence"),
    (r"Reservation.*", "they wait for a reservation, or one keeps the nodes"),
    (r"Cleaning|Prolog|NodeCleaning", "Slurm cleans up after their last start"),
    (r"configuring", "their nodes are being started"),
    (r"completing", "Slurm is ending their jobs"),
    (r"suspended|stopped", "their jobs are suspended"),
    (r"requeued|requeue_fed|requeue_hold|special_exit", "their jobs are back in the queue"),
    (JUST_SUBMITTED, "Slurm does not show new jobs at once"),
)


@functools.cache
def plain_reason(reason: str) -> str:
    """Return the meaning of a reason of squeue; "" where it is not known."""
    word = reason.replace("_", " ") if reason.startswith(("launch", "job")) else reason
    return next((plain for pattern, plain in _PLAIN if re.fullmatch(pattern, word)), "")


def with_own_word(reason: str) -> str:
    """Return the meaning with Slurm's own word behind it, else that word alone."""
    plain = plain_reason(reason)
    if plain and reason not in ("", "None"):
        return f"{plain} (Slurm: {reason})"
    return plain or reason
