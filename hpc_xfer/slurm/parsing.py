"""Read the text that squeue, sacct and sinfo print."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT", "LAUNCH_FAILED", "RECONFIG_FAIL",
}  # fmt: skip
FIELDS = "%F|%K|%A|%T|%u|%q|%N|%M|%r|%j"  # the name last: it may contain anything
NEVER_SATISFIED = "DependencyNeverSatisfied"  # reason of a job cancelled since its parent failed
ACCOUNTED = "JobID,JobIDRaw,User,State,NodeList,Elapsed,JobName"


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
    cluster: str | None = None  # None: the only one, or the one that commands ask anyway
    output: str = ""  # path of its log; scontrol alone tells it

    @property
    def number(self) -> str:
        """The job id without the index of an element."""
        return self.job.partition("_")[0]

    @property
    def live(self) -> bool:
        """Not ended; completing, suspended and requeued jobs are live."""
        return self.state not in _ENDED


@dataclass(frozen=True)
class Queue:
    """A snapshot of the queue: our jobs, also those that ended lately.

    Numbers are given again after a controller was reinstalled, and clusters share them. So a job of
    ours is looked up by number, name and user together, with `find`.
    """

    lines: Mapping[str, QueueLine] = field(default_factory=dict)  # by number, as squeue shows them
    more: tuple[QueueLine, ...] = ()  # from accounting, from scontrol, of other clusters
    cluster: str | None = None  # that was asked by its name
    here: str | None = None  # name of the cluster that was asked, named or not
    unanswered: frozenset[str | None] = frozenset()  # other clusters with jobs of ours
    mine: int = 0  # live elements of this user
    everybodys: int = 0  # elements of all users; ended ones count in MaxJobCount too
    mine_by_qos: Mapping[str, int] = field(default_factory=dict)

    def with_more(self, lines: Iterable[QueueLine]) -> "Queue":
        """Add jobs that squeue did not show; of a job that is there already its line stays."""
        return replace(self, more=(*self.more, *lines))

    def find(self, job: str | None, name: str, user: str) -> QueueLine | None:
        """The job of this number, name and user; None where there is none.

        Of an array that ended before an element began, Slurm shows one row without an index: it
        stands for each element that has none of its own.
        """
        number, is_element, _ = (job or "").partition("_")
        found = self._by_identity.get((job or "", name, user))
        if found is None and is_element:
            whole = self._by_identity.get((number, name, user))
            found = whole if whole is not None and not whole.live else None
        return found

    def named(self, name: str, user: str) -> list[QueueLine]:
        """Jobs of this name and user: anybody may give a job any name."""
        return self._by_name.get((name, user), [])

    @cached_property
    def _by_identity(self) -> dict[tuple[str, str, str], QueueLine]:
        # Later lines replace earlier ones: squeue is more recent than what was asked because of it.
        lines = (*self.more, *self.lines.values())
        return {(line.job, line.name, line.user): line for line in lines}

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], list[QueueLine]]:
        found: dict[tuple[str, str], list[QueueLine]] = {}
        for line in self._by_identity.values():
            found.setdefault((line.name, line.user), []).append(line)
        return found


def read_queue(text: str, me: str, mark: str = "", cluster: str | None = None) -> Queue:
    """Read the text of squeue: our jobs, and jobs of others with names like ours.

    Args:
        mark: begins each row; a job name cannot contain it.
        cluster: that was asked by its name.
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
        line = QueueLine(job, raw, name, state, user, nodes, elapsed, reason, qos, cluster)
        everybodys += 1
        mine[qos] += line.live and user == me
        if user == me or _OURS.fullmatch(name):
            lines[job] = line
    return Queue(lines, cluster=cluster, mine=mine.total(), everybodys=everybodys, mine_by_qos=mine)


_OURS = re.compile(r"(pre|ft\w+|relay|check|collect)\..*\.\d+")


def minutes_of(text: str) -> float | None:
    """Read a time as Slurm writes it: 30:00, 12:00:00, 2-00:00:00; None for infinite."""
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in (*parts, *([days] if dash else []))):
        return None
    hours, minutes, seconds = ([0, 0, 0] + [int(part) for part in parts])[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def read_accounting(text: str, cluster: str | None = None) -> dict[str, QueueLine]:
    """Read the text of sacct; a row for many elements that never began gives a line for each."""
    alone: dict[str, QueueLine] = {}
    condensed: dict[str, QueueLine] = {}
    for row in text.splitlines():
        parts = row.split("|", 6)
        if len(parts) < 7:
            continue
        job, raw, user, state, nodes, elapsed, name = parts
        nodes = "" if nodes == "None assigned" else nodes
        # "by USER" is missing where Slurm itself cancelled a job whose parent failed.
        reason = NEVER_SATISFIED if state == "CANCELLED" and not nodes else ""
        word = state.split(" ")[0]  # CANCELLED by 1000
        for element in expanded(job):
            line = QueueLine(
                element, raw, name, word, user, nodes, elapsed, reason, cluster=cluster
            )
            (condensed if "[" in job else alone)[element] = line
    return condensed | alone


def expanded(job: str) -> Iterator[str]:
    """Expand 4_[0,2-6:2%2] to 4_0, 4_2, 4_4 and 4_6; the number behind % is a limit."""
    main, bracket, indices = job.partition("[")
    if not bracket:
        yield job
    for first, last, step in re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", indices.split("%")[0]):
        for index in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{main}{index}"
