"""The ledger of submissions: launches.jsonl of each study. A launch may be killed at any line.

An intent is written before `sbatch` is called, the result after it. An intent without a result is
looked up in the queue by its job name, which is unique.

    ledger = read_ledger(store)
    ledger.elements_by_run["c0ffee12ab34"]     # submissions that hold this run, the newest last
"""

import json
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Literal

from hpc_xfer.store.documents.ledger_lines import read_lines
from hpc_xfer.store.documents.manifest import MANIFEST
from hpc_xfer.store.retry_policy import rule_of
from hpc_xfer.store.store import Store
from hpc_xfer.system import atomic_files, provenance

JobKind = Literal["pretrain", "finetune", "relay"]
_Job = tuple[str, str | None]  # number and name: numbers are given again
_NODE_FAILURE_DAYS = 7  # after that the node may have been repaired
_OF_INTENT = ("kind", "batch", "elements", "lane", "user")  # fields in the line of an intent
_LATER_OF_INTENT = ("cluster", "root", "code", "stored")  # which older versions did not write


@dataclass(frozen=True)
class Submission:
    """One call of sbatch: an array, a single job, or a relay."""

    study: str
    name: str  # the job name; unique
    kind: JobKind
    batch: str | None  # id of the job array in the store; None for a relay
    elements: int | None  # jobs in the array; None for a single job
    time: str
    host: str  # where it was launched
    user: str  # who launched it
    lane: int | None = None  # arrays with the same number run one after another, see max_running
    # None where an older version wrote the line:
    cluster: str | None = None  # the site's name of the cluster, where it has one
    root: str | None = None  # path of the store, as its jobs were told
    code: str | None = None  # digest of the code that its jobs run
    stored: float | None = None  # time of the file server at the intent; `time` is the host's
    job: str | None = None  # Slurm's job id; None until it is known
    confirmed: bool = False  # the queue showed this name under this id
    closed: str | None = None  # rejected, lost or withdrawn: it holds no job any more
    cancelled: frozenset[int] = frozenset()  # elements that a user cancelled

    @property
    def is_unresolved(self) -> bool:
        """True while Slurm may have the job but its id is unknown."""
        return self.job is None and self.closed is None

    def ids(self) -> Iterator[tuple[int, str]]:
        """Yield index and job id of each element, as squeue shows them."""
        if self.job is None:
            return
        if self.elements is None:
            yield 0, self.job
        else:
            for index in range(self.elements):
                yield index, f"{self.job}_{index}"


@dataclass(frozen=True)
class Element:
    """One element of a submission, in which a run was submitted."""

    submission: Submission
    index: int
    position: int  # of the run in its pack, from 0

    @property
    def job(self) -> str | None:
        submission = self.submission
        if submission.job is None or submission.elements is None:
            return submission.job
        return f"{submission.job}_{self.index}"


@dataclass
class Ledger:
    """All submissions of a store, in the order of their intents."""

    store: Store
    submissions: dict[str, Submission] = field(default_factory=dict)  # by job name
    node_failures: list[dict[str, Any]] = field(default_factory=list)  # see record_node_failure
    set_aside: frozenset[str] = frozenset()  # job names whose jobs do not write to this store
    _packs: dict[tuple[str, str], list[list[str]]] = field(default_factory=dict)

    def submissions_of(self, study: str) -> list[Submission]:
        """All submissions of a study whose jobs write to this store."""
        return [submission for submission in self.own() if submission.study == study]

    def own(self) -> list[Submission]:
        """The submissions of all studies whose jobs write to this store."""
        return [s for name, s in self.submissions.items() if name not in self.set_aside]

    def put_aside(self, names: Iterable[str]) -> None:
        """Leave out submissions whose jobs do not write to this store."""
        self.set_aside |= frozenset(names)
        self.__dict__.pop("elements_by_run", None)

    @cached_property
    def elements_by_run(self) -> dict[str, list[Element]]:
        """All elements that each run was ever submitted in. Reads every manifest once."""
        found: dict[str, list[Element]] = {}
        for submission in self.submissions.values():
            if submission.closed == "rejected" or submission.name in self.set_aside:
                continue
            for index, pack in enumerate(self.packs(submission)):
                for position, run in enumerate(pack):
                    found.setdefault(run, []).append(Element(submission, index, position))
        return found

    def packs(self, submission: Submission) -> list[list[str]]:
        """Run ids in each element of a submission."""
        if submission.batch is None:
            return []
        key = (submission.study, submission.batch)
        if key not in self._packs:
            content = MANIFEST.read(self.store.study(submission.study).manifest(submission.batch))
            self._packs[key] = [] if content is None else content["packs"]
        return self._packs[key]

    def submission_count(self, study: str, batch: str | None, kind: JobKind) -> int:
        """Count how often this array or relay was submitted, also where Slurm rejected it."""
        return sum(
            (s.study, s.batch, s.kind) == (study, batch, kind) for s in self.submissions.values()
        )

    # Each method that records appends one line first, then changes what is in memory.

    def record_intent(self, submission: Submission) -> None:
        """Record that sbatch is about to be called."""
        content = {key: getattr(submission, key) for key in (*_OF_INTENT, *_LATER_OF_INTENT)}
        self._write(submission, "intent", **content)
        self._set(submission)

    def record_submitted(
        self, submission: Submission, job: str, adopted: bool = False
    ) -> Submission:
        """Record the job id. `adopted`: it was found in the queue, not answered by sbatch."""
        self._write(submission, "submitted", job=job, **({"adopted": True} if adopted else {}))
        return self._set(replace(submission, job=job, confirmed=adopted))

    def record_confirmed(self, study: str, names: Collection[str]) -> None:
        """Record that the queue shows these jobs under the ids that sbatch told."""
        self._append(study, {"event": "confirmed", "names": sorted(names)})
        for name in names:
            self._set(replace(self.submissions[name], confirmed=True))

    def assume(self, submission: Submission, job: str) -> None:
        """Take another job id for a submission, without recording it: for a look at the queue."""
        self._set(replace(submission, job=job))

    def record_closed(self, submission: Submission, why: str) -> None:
        """Record that it holds no job any more: `rejected`, `lost` or `withdrawn`."""
        self._write(submission, "closed", why=why)
        self._set(replace(submission, closed=why))

    def record_cancelled(self, submission: Submission, elements: Iterable[int]) -> None:
        """Record that a user cancelled these elements."""
        gone = frozenset(elements)
        self._write(submission, "cancelled", elements=sorted(gone))
        self._set(replace(submission, cancelled=submission.cancelled | gone))

    def record_node_failure(
        self, study: str, node: str, kind: str, job: str, job_name: str | None = None
    ) -> None:
        """Record a failure that the node may have caused."""
        content = {"event": "hit", "node": node, "class": kind, "job": job, "job_name": job_name}
        self._append(study, content)
        self.node_failures.append({**content, "time": provenance.now()})

    def record_event(self, study: str, event: str, **content: Any) -> None:
        """Record a line for people: who launched what, and when."""
        self._append(study, {"event": event, **content})

    def bad_nodes(self, failures: int) -> tuple[str, ...]:
        """List nodes on which at least this many different jobs failed lately, the worst first.

        One job is enough where it found no GPU: the next one would fail there within seconds.
        A job that was killed on several nodes is at fault itself, and counts against none of them.
        """
        since = datetime.now(timezone.utc) - timedelta(days=_NODE_FAILURE_DAYS)
        recent = [
            each for each in self.node_failures if datetime.fromisoformat(each["time"]) > since
        ]
        nodes_of: dict[_Job, set[str]] = {}
        for each in recent:
            nodes_of.setdefault(_job_of(each), set()).add(each["node"])
        jobs_on: dict[str, set[_Job]] = {}
        for each in recent:
            if each["class"] == "node failure" or len(nodes_of[_job_of(each)]) == 1:
                jobs_on.setdefault(each["node"], set()).add(_job_of(each))
        at_once = {each["node"] for each in recent if rule_of(each["class"]).excludes_at_once}
        bad = [
            (-len(jobs), node)
            for node, jobs in jobs_on.items()
            if len(jobs) >= failures or node in at_once
        ]
        return tuple(node for _, node in sorted(bad))

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
        atomic_files.sync(path)  # before sbatch is called: this host may crash with its launcher


def read_ledger(store: Store, *studies: str) -> Ledger:
    """Read the ledger of a store, or of some studies; a line that is odd is noted and left out."""
    ledger = Ledger(store)
    for study in studies or store.studies():
        for line in read_lines(store.study(study).launches):
            _apply(ledger, study, line)
    return ledger


def is_cancelled(store: Store, study: str, job: str, name: str | None = None) -> bool:
    """True where `cancel` cancelled this job or element of an array.

    Args:
        name: of the job; None where it is not known.
    """
    return any(
        job == known and index in submission.cancelled
        for submission in read_ledger(store, study).submissions_of(study)
        if submission.cancelled and name in (None, submission.name)
        for index, known in submission.ids()
    )


def job_name(*parts: str | int) -> str:
    """Name a job for people and for the ledger: `ft5.clip-laion-1M.size_scaling.c0ffee12ab34.1`.

    It is one plain word: no part of it can start a new line in a batch script.
    """
    return ".".join(re.sub(r"[^A-Za-z0-9_=+-]+", "-", part).strip("-") for part in map(str, parts))


def _job_of(failure: Mapping[str, Any]) -> _Job:
    return failure["job"], failure.get("job_name")


def _apply(ledger: Ledger, study: str, line: dict[str, Any]) -> None:
    if line["event"] == "hit":
        ledger.node_failures.append(line)
        return
    if line["event"] == "confirmed":
        for each in ledger.submissions.keys() & set(line["names"]):
            ledger.submissions[each] = replace(ledger.submissions[each], confirmed=True)
        return
    name = line["name"]
    if line["event"] == "intent" and _is_free(ledger, study, name):
        ledger.submissions[name] = Submission(
            study=study, name=name, kind=line["kind"], batch=line["batch"],
            elements=line["elements"], time=line["time"], host=line["host"], user=line["user"],
            lane=line["lane"], cluster=line.get("cluster"), root=line.get("root"),
            code=line.get("code"), stored=line.get("stored"),
        )  # fmt: skip
        return
    known = ledger.submissions.get(name)
    if known is None or known.study != study:
        return
    match line["event"]:
        case "submitted":
            is_confirmed = line.get("adopted", False) or known.stored is None  # of older versions
            known = replace(known, job=line["job"], confirmed=is_confirmed)
        case "closed":
            known = replace(known, closed=line["why"])
        case "cancelled":
            known = replace(known, cancelled=known.cancelled | frozenset(line["elements"]))
    ledger.submissions[name] = known


def _is_free(ledger: Ledger, study: str, name: str) -> bool:
    """Tell whether a study may take a job name: one of another study is not taken from it."""
    known = ledger.submissions.get(name)
    return known is None or known.study == study
