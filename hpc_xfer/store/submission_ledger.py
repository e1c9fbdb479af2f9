"""What was handed to Slurm: written ahead, so that a launcher may die at any line.

An intent stands in the ledger before `sbatch` is called, its outcome after. An intent without an
outcome is looked up in the queue by its job name, which no other submission has.

    ledger = read(store)
    ledger.elements_by_run["c0ffee12ab34"]      # submissions that hold this run, the last last
"""

import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Literal

from hpc_xfer.store.store import Store
from hpc_xfer.system import atomic_files, provenance

JobKind = Literal["pretrain", "finetune", "relay"]
_HIT_DAYS = 7  # a node that was mended is tried again after that


@dataclass(frozen=True)
class Submission:
    """One call of sbatch: a batch as an array or a single job, or a relay."""

    study: str
    name: str  # of the job; unique
    kind: JobKind
    batch: str | None  # None for a relay
    elements: int | None  # of the array; None for a job without one
    time: str
    host: str  # of the launcher
    user: str  # who launched, as Slurm calls them
    lane: int | None = None  # arrays of one lane run one after another, see max_running
    job: str | None = None  # Slurm's id, once known
    closed: str | None = None  # why nothing more is to come of it: rejected, lost, cancelled
    cancelled: frozenset[int] = frozenset()  # elements

    @property
    def is_unresolved(self) -> bool:
        """Whether Slurm may have it, though its id is not known yet."""
        return self.job is None and self.closed is None

    def ids(self) -> Iterator[tuple[int, str]]:
        """Index and job id of each element, as squeue shows them."""
        if self.job is None:
            return
        if self.elements is None:
            yield 0, self.job
        else:
            for index in range(self.elements):
                yield index, f"{self.job}_{index}"


@dataclass(frozen=True)
class Element:
    """Where a run was submitted: which element of which submission."""

    submission: Submission
    index: int
    position: int  # runs of its pack before it

    @property
    def job(self) -> str | None:
        job, array = self.submission.job, self.submission.elements is not None
        return f"{job}_{self.index}" if job and array else job


@dataclass
class Ledger:
    """All submissions of all studies of a store, in the order of their intents."""

    store: Store
    submissions: dict[str, Submission] = field(default_factory=dict)  # by job name
    node_failures: list[dict[str, Any]] = field(
        default_factory=list
    )  # failures that speak against a node
    _packs: dict[tuple[str, str], list[list[str]]] = field(default_factory=dict)

    def submissions_of(self, study: str) -> list[Submission]:
        return [s for s in self.submissions.values() if s.study == study]

    @cached_property
    def elements_by_run(self) -> dict[str, list[Element]]:
        """For each run, where it was ever submitted. Reads every batch's file once."""
        found: dict[str, list[Element]] = {}
        for submission in self.submissions.values():
            if submission.closed == "rejected":
                continue
            for index, pack in enumerate(self.packs(submission)):
                for behind, run in enumerate(pack):
                    found.setdefault(run, []).append(Element(submission, index, behind))
        return found

    def packs(self, submission: Submission) -> list[list[str]]:
        """Run ids of each of its elements."""
        if submission.batch is None:
            return []
        key = (submission.study, submission.batch)
        if key not in self._packs:
            content = atomic_files.read_json(
                self.store.study(submission.study).batch(submission.batch)
            )
            self._packs[key] = content["packs"] if isinstance(content, dict) else []
        return self._packs[key]

    def submission_count(self, study: str, batch: str | None, kind: JobKind) -> int:
        """How often this batch was handed in, rejected or not."""
        return sum(
            (s.study, s.batch, s.kind) == (study, batch, kind) for s in self.submissions.values()
        )

    # Writing: each method appends one line, then holds in memory what it says.

    def record_intent(self, submission: Submission) -> None:
        told = {
            "kind": submission.kind, "batch": submission.batch, "elements": submission.elements,
            "lane": submission.lane, "user": submission.user,
        }  # fmt: skip
        self._write(submission, "intent", **told)
        self._set(submission)

    def record_submitted(
        self, submission: Submission, job: str, adopted: bool = False
    ) -> Submission:
        self._write(submission, "submitted", job=job, **({"adopted": True} if adopted else {}))
        return self._set(replace(submission, job=job))

    def record_closed(self, submission: Submission, why: str) -> None:
        """Nothing more is to come of it: `rejected` by Slurm, `lost` on the way, `cancelled`."""
        self._write(submission, "closed", why=why)
        self._set(replace(submission, closed=why))

    def record_cancelled(self, submission: Submission, elements: Iterable[int]) -> None:
        """These elements were cancelled by us, on demand."""
        gone = frozenset(elements)
        self._write(submission, "cancelled", elements=sorted(gone))
        self._set(replace(submission, cancelled=submission.cancelled | gone))

    def record_node_failure(self, study: str, node: str, kind: str, job: str) -> None:
        """A failure that may be a node's fault."""
        content = {"event": "hit", "node": node, "class": kind, "job": job}
        self._append(study, content)
        self.node_failures.append({**content, "time": provenance.now()})

    def record_event(self, study: str, event: str, **content: Any) -> None:
        """A line for people: who launched what, and when."""
        self._append(study, {"event": event, **content})

    def bad_nodes(self, hits: int) -> tuple[str, ...]:
        """Nodes on which so many different jobs failed lately, the worst first.

        A job that was killed on one node after another is at fault itself, and speaks against none.
        """
        since = datetime.now(timezone.utc) - timedelta(days=_HIT_DAYS)
        lately = [hit for hit in self.node_failures if datetime.fromisoformat(hit["time"]) > since]
        nodes: dict[str, set[str]] = {}  # by job
        for hit in lately:
            nodes.setdefault(hit["job"], set()).add(hit["node"])
        jobs: dict[str, set[str]] = {}  # by node
        for hit in lately:
            if hit["class"] == "node failure" or len(nodes[hit["job"]]) == 1:
                jobs.setdefault(hit["node"], set()).add(hit["job"])
        bad = sorted((-len(failed), node) for node, failed in jobs.items() if len(failed) >= hits)
        return tuple(node for _, node in bad)

    def _set(self, submission: Submission) -> Submission:
        self.submissions[submission.name] = submission
        self.__dict__.pop("elements_by_run", None)
        return submission

    def _write(self, submission: Submission, event: str, **content: Any) -> None:
        self._append(submission.study, {"event": event, "name": submission.name, **content})

    def _append(self, study: str, content: Mapping[str, Any]) -> None:
        who = {"time": provenance.now(), "host": socket.gethostname(), "pid": os.getpid()}
        line = json.dumps({**who, **content}, sort_keys=True)
        path = self.store.study(study).launches
        atomic_files.append_line(path, line)
        atomic_files.sync(path)  # before sbatch is called: this host may end with its launcher


def read_ledger(store: Store, *studies: str) -> Ledger:
    """The ledger of a store, or of some studies; a line that a dying disk cut is passed over."""
    ledger = Ledger(store)
    for study in studies or store.studies():
        for line in _lines(store, study):
            _take_in(ledger, study, line)
    return ledger


def is_cancelled(store: Store, study: str, job: str) -> bool:
    """Whether `cancel` took this job, or element of an array, out of the queue."""
    return any(
        job == known and index in submission.cancelled
        for submission in read_ledger(store, study).submissions_of(study)
        if submission.cancelled
        for index, known in submission.ids()
    )


def job_name(kind: str, label: str, study: str, batch: str, number: int) -> str:
    """Read by people in squeue, found again by us: `ft5.clip-laion-1M.size_scaling.c0ffee12ab34.1`.

    Nothing in it can begin a line of a batch script.
    """
    parts = [kind, label, study, batch, str(number)]
    return ".".join(re.sub(r"[^A-Za-z0-9_=+-]+", "-", part).strip("-") for part in parts)


def _lines(store: Store, study: str) -> Iterator[dict[str, Any]]:
    try:
        text = store.study(study).launches.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            yield content


def _take_in(ledger: Ledger, study: str, line: dict[str, Any]) -> None:
    if line.get("event") == "hit":
        ledger.node_failures.append(line)
        return
    name = line.get("name")
    if name is None:
        return
    if line["event"] == "intent":
        ledger.submissions[name] = Submission(
            study,
            name,
            line["kind"],
            line["batch"],
            line["elements"],
            line["time"],
            line["host"],
            line["user"],
            line["lane"],
        )
        return
    known = ledger.submissions.get(name)
    if known is None:
        return
    match line["event"]:
        case "submitted":
            known = replace(known, job=line["job"])
        case "closed":
            known = replace(known, closed=line["why"])
        case "cancelled":
            known = replace(known, cancelled=known.cancelled | frozenset(line["elements"]))
    ledger.submissions[name] = known
