"""Read the text that squeue, sacct and sinfo print."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT", "LAUNCH_FAILED", "RECONFIG_FAIL",
}  # fmt: skip
FIELDS = "%F|%K|%A|%T|%u|%q|%N|%M|%r|%j"  # the name last: it may contain anything
NEVER_SATISFIED = "DependencyNeverSatisfied"  # reason of a job cancelled since its parent failed
ACCOUNTED = "JobID,JobIDRaw,State,NodeList,Elapsed,JobName"


@dataclass(frozen=True)
class QueueLine:
    """A job or an element of an array, as squeue or sacct shows it."""

    job: str  # 1234, or 1234_5 for an element
    raw: str  # SLURM_JOB_ID inside it
    name: str
    state: str
    user: str = ""
    nodes: str = ""
    elapsed: str = ""
    reason: str = ""
    qos: str = ""

    @property
    def live(self) -> bool:
        """Not ended; completing, suspended and requeued jobs are live."""
        return self.state not in _ENDED


@dataclass(frozen=True)
class Queue:
    """A snapshot of the queue. `lines` are our jobs, also those that ended lately."""

    lines: Mapping[str, QueueLine] = field(default_factory=dict)
    mine: int = 0  # live elements of this user
    everybodys: int = 0  # elements of all users; ended ones count in MaxJobCount too
    mine_by_qos: Mapping[str, int] = field(default_factory=dict)

    def with_ended(self, lines: Mapping[str, QueueLine]) -> "Queue":
        """Add ended jobs that the queue has forgotten, from accounting."""
        return replace(self, lines={**lines, **self.lines})

    def named(self, name: str, user: str) -> list[QueueLine]:
        """Jobs of this name and user: anybody may give a job any name."""
        return [line for line in self.lines.values() if (line.name, line.user) == (name, user)]


def read_queue(text: str, me: str, mark: str = "") -> Queue:
    """Read the text of squeue: our jobs, and jobs of others with names like ours.

    Args:
        mark: begins each row; a job name cannot contain it.
    """
    lines: dict[str, QueueLine] = {}
    mine: Counter[str] = Counter()
    everybodys = 0
    for row in f"\n{text}".split(f"\n{mark}"):
        parts = row.rstrip("\n").split("|", 9)
        if len(parts) < 10:
            continue
        main, index, raw, state, user, qos, nodes, elapsed, reason, name = parts
        job = main if index == "N/A" else f"{main}_{index}"
        line = QueueLine(job, raw, name, state, user, nodes, elapsed, reason, qos)
        everybodys += 1
        mine[qos] += line.live and user == me
        if user == me or _OURS.fullmatch(name):
            lines[job] = line
    return Queue(lines, mine.total(), everybodys, mine)


_OURS = re.compile(r"(pre|ft\w+|relay|check)\..*\.\d+")


def minutes_of(text: str) -> float | None:
    """Read a time as Slurm writes it: 30:00, 12:00:00, 2-00:00:00; None for infinite."""
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in (*parts, *([days] if dash else []))):
        return None
    hours, minutes, seconds = ([0, 0, 0] + [int(part) for part in parts])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def read_accounting(text: str) -> dict[str, QueueLine]:
    """Read the text of sacct; a row for many elements that never began gives a line for each."""
    alone: dict[str, QueueLine] = {}
    condensed: dict[str, QueueLine] = {}
    for row in text.splitlines():
        parts = row.split("|", 5)
        if len(parts) < 6:
            continue
        job, raw, state, nodes, elapsed, name = parts
        nodes = "" if nodes == "None assigned" else nodes
        # "by USER" is missing where Slurm itself cancelled a job whose parent failed.
        reason = NEVER_SATISFIED if state == "CANCELLED" and not nodes else ""
        word = state.split(" ")[0]  # CANCELLED by 1000
        for element in _expanded(job):
            line = QueueLine(element, raw, name, word, nodes=nodes, elapsed=elapsed, reason=reason)
            (condensed if "[" in job else alone)[element] = line
    return condensed | alone


def _expanded(job: str) -> Iterator[str]:
    """Expand 4_[0,2-6:2%2] to 4_0, 4_2, 4_4 and 4_6; the number behind % is a limit."""
    main, bracket, indices = job.partition("[")
    if not bracket:
        yield job
    for first, last, step in re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", indices.split("%")[0]):
        for index in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{main}{index}"
