"""Tell an error of Slurm that asking again would not change from all others."""

import re

# What Slurm says when it could not ask, or not be asked: these words win over those below.
_PASSING = re.compile(
    r"unable to contact|timed out|temporarily|transport endpoint|zero bytes|connect|try again|"
    r"authenticat|credential|munge|standby|can't be reached now|protocol|host",
    re.I,
)
_CERTAIN = "known by database"  # of a cluster's name; "can't be reached now" follows
# What Slurm says of the request itself. Messages that are not listed may pass: a controller that
# restarts, a dead munge or a broken name server has many words.
_FINAL = re.compile(
    r"\binvalid\b|denied|not permitted|unrecogni[sz]ed|\bnot a valid\b|"
    r"does not look like|job \S+ not found|not supported|presently disabled|can not be satisfied|"
    r"configuration is not available|dependency problem|more \w+ requested than|"
    r"requested more \w+ than|no partition specified|not in this partition|violates accounting|"
    r"memory required by task|pathname .*too long|exceed|needs to be provided|only batch jobs|"
    r"does not allow scripts|held state|"
    r"\b(?:QOS|Assoc)\w+|job is (?:not|no longer|already|pending|current)|"
    r"\balready (?:finished|started|completing|completed|pending)",
    re.I,
)


# Slurm's own word is behind it; before it, names that the user chose, and a site's own messages.
_VERDICT = re.compile(r".*(?:submission failed|allocation failure): ", re.S)


def is_final(complaint: str) -> bool:
    """Tell whether Slurm has refused the request itself, so that asking again is of no use."""
    if _CERTAIN in complaint:
        return True
    verdict = _VERDICT.sub("", complaint)
    if _PASSING.search(verdict):
        return False
    if _FINAL.search(verdict):
        return True
    return not _PASSING.search(complaint) and _FINAL.search(complaint) is not None


def is_passing(complaint: str) -> bool:
    """Tell whether Slurm was not reached, as far as its words say."""
    return not is_final(complaint) and _PASSING.search(complaint) is not None


def error_text(text: str) -> str:
    """The error messages of a command, as one line."""
    lines = (line.strip() for line in text.splitlines())
    messages = (
        re.sub(r"^(sbatch|squeue|scancel|scontrol|sinfo|sacct|allocation): ", "", line)
        for line in lines
    )
    kept = [re.sub(r"^error: ", "", line) for line in messages]
    return "; ".join(dict.fromkeys(line for line in kept if line))
