"""Sentences of `status` on a study as a whole: what waits and for what, what failed and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.monitoring.eta import TimeLeft, duration
from hpc_xfer.monitoring.slurm_reasons import with_own_word
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.store import retry_policy
from hpc_xfer.study.state_words import MISSING_MEANINGS

_WAIT_SHARE = 0.05  # of the time of a run: above it, reading data is the bottleneck
_MANY = 5  # failures of one class that are listed by name
_MOST_REASONS = 5
MUST, USEFUL, DETAIL = range(3)  # ranks: on a small screen, the last go first


@dataclass(frozen=True)
class StatusLine:
    """A line of text, with its rank."""

    text: str
    rank: int = MUST


def sentences_of(study: StudyState, time_left: TimeLeft) -> list[StatusLine]:
    """Return all sentences, in the order in which they are shown."""
    return [
        StatusLine(_summary(study)),
        *_launch(study),
        *_time(time_left),
        *_waiting(study),
        *_without_job(study),
        *_bottlenecks(study),
        *_failures(study),
        *(StatusLine(note) for note in study.notes),
        *_end(study),
    ]


def never_launched(study: StudyState) -> str:
    """The sentence on a study of which nothing was launched; "" where something was."""
    if study.is_launched or not study.plan.runs or study.counts["done"] == len(study.plan.runs):
        return ""
    runs = f"its {len(study.plan.runs):,} runs are missing"
    if done := study.counts["done"]:
        runs = f"{done:,} of its {len(study.plan.runs):,} runs were done for other studies"
    return f"nothing of this study has been launched ({runs}); launch it: {_launch_command(study)}"


def _launch_command(study: StudyState) -> str:
    return f"python -m hpc_xfer.launch {study.arguments or 'GRID'}"


def _summary(study: StudyState) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in study.counts.items() if count)
    return f"{len(study.plan.runs):,} runs{states and ': '}{states}"


def _launch(study: StudyState) -> Iterator[StatusLine]:
    if told := never_launched(study):
        yield StatusLine(told)
    elif study.is_cancelled and study.counts["done"] < len(study.plan.runs):
        yield StatusLine(f"this study was cancelled; to go on: {_launch_command(study)}")


def _time(time_left: TimeLeft) -> Iterator[StatusLine]:
    if time_left.study:
        many = time_left.processes
        processes = "one process" if many == 1 else f"{many:,} processes"
        text = f"about {duration(time_left.study)} to go with {processes}, as now"
        yield StatusLine(text, USEFUL)


def _waiting(study: StudyState) -> Iterator[StatusLine]:
    """Tell Slurm's reasons of pending runs, without those that wait in a pack that runs."""
    pending = (status for status in study.status.values() if status.state == "pending")
    reasons = Counter(each.why for each in pending if not each.why.startswith("behind"))
    for why, count in reasons.most_common(_MOST_REASONS):
        yield StatusLine(f"waiting: {count:,}: {with_own_word(why)}", USEFUL)
    if (more := len(reasons) - _MOST_REASONS) > 0:
        yield StatusLine(f"waiting for {more:,} more reasons; see --json", DETAIL)


def _without_job(study: StudyState) -> Iterator[StatusLine]:
    """Tell why runs have no job any more: they were cancelled, or a job before them failed."""
    missing = (status for status in study.status.values() if status.state == "missing")
    for why, count in Counter(status.why for status in missing if status.why).items():
        meaning = MISSING_MEANINGS.get(why)
        text = f"missing: {why}: {count:,}" + (f" ({meaning})" if meaning else "")
        yield StatusLine(text, USEFUL)


def _bottlenecks(study: StudyState) -> Iterator[StatusLine]:
    for run in study.plan.of("pretrain"):
        status = study.status[run.id]
        share = (status.progress or {}).get("data_wait", 0.0)
        if status.state == "running" and share > _WAIT_SHARE:
            text = (
                f"{study.labels[run.id]} waits for data {100 * share:.0f}% of its time: more "
                "resources.pretrain.workers or faster storage would speed it up"
            )
            yield StatusLine(text, DETAIL)


def _failures(study: StudyState) -> Iterator[StatusLine]:
    """Tell for each class of failure: how many, its meaning, and an example."""
    classes: dict[str, list[str]] = {}
    for run_id, status in study.status.items():
        if status.state in ("failed", "lost"):
            classes.setdefault(f"{status.state}: {status.why}", []).append(run_id)
    for kind, runs in sorted(classes.items()):
        first = study.status[runs[0]]
        more = f" and {len(runs) - _MANY:,} more" if len(runs) > _MANY else ""
        meaning = retry_policy.rule_of(first.why).meaning
        yield StatusLine(f"{kind}: {len(runs):,}" + (f" ({meaning})" if meaning else ""))
        yield StatusLine(f"  {first.message}", USEFUL)
        yield StatusLine(f"  {' '.join(runs[:_MANY])}{more}; more with --why RUN", DETAIL)


def _end(study: StudyState) -> Iterator[StatusLine]:
    """Tell what goes on by itself: the relay, or where the report is."""
    counts = study.counts
    if study.slurm_error:
        yield StatusLine(f"{study.slurm_error}; only heartbeats show what runs")
    elif study.relay is not None:
        reason = ""
        if study.relay.state == "PENDING":
            reason = f": {with_own_word(study.relay.reason)}"
        yield StatusLine(f"relay: job {study.relay.job}, {study.relay.state.lower()}{reason}")
    elif (
        study.ledger.submissions_of(study.name)
        and not study.is_cancelled
        and any(counts[state] for state in ("running", "starting", "pending", "lost", "missing"))
    ):
        yield StatusLine(f"no relay is in the queue; to go on: {_launch_command(study)}")
    elif (report := study.store.study(study.name).report).exists():
        yield StatusLine(f"report: {report}")
