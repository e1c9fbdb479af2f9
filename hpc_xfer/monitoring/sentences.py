"""Sentences of `status` on a study as a whole: what waits and for what, what failed and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from hpc_xfer.monitoring.eta import TimeLeft, duration
from hpc_xfer.monitoring.slurm_reasons import with_own_word
from hpc_xfer.monitoring.study_state import StudyState
from hpc_xfer.slurm.batch_script import log_path
from hpc_xfer.store import retry_policy
from hpc_xfer.study.plan import Run
from hpc_xfer.study.state_words import MISSING_MEANINGS
from hpc_xfer.system.terminal import counted

_WAIT_SHARE = 0.05  # of the time of a run: above it, reading data is the bottleneck
_MANY = 5  # failures of one class that are listed by name
_MOST_REASONS = 5
MUST, USEFUL, DETAIL = range(3)  # ranks: on a small screen, the last go first


@dataclass(frozen=True)
class StatusSentence:
    """A line of text, with its rank."""

    text: str
    rank: int = MUST


def sentences_of(study: StudyState, time_left: TimeLeft) -> list[StatusSentence]:
    """Return all sentences, in the order in which they are shown."""
    return [
        StatusSentence(_summary(study)),
        *_launch(study),
        *_time(time_left),
        *_waiting(study),
        *_without_job(study),
        *_bottlenecks(study),
        *_failures(study),
        *(StatusSentence(note) for note in study.notes),
        *_end(study),
    ]


def never_launched(study: StudyState) -> str:
    """The sentence on a study of which nothing was launched; "" where something was."""
    if study.is_launched or not study.plan.runs or study.counts["done"] == len(study.plan.runs):
        return ""
    count = len(study.plan.runs)
    runs = f"its {count:,} runs are missing" if count > 1 else "its run is missing"
    if done := study.counts["done"]:
        runs = f"{done:,} of its {len(study.plan.runs):,} runs were done for other studies"
    way = f"launch it: {_launch_command(study)}"
    if not study.store.root.is_dir():  # as where a call lacks the --site of the launch
        elsewhere = f"there is no store {study.store.root}, so if it was launched, name the --site"
        way = f"{elsewhere} or --store of its launch; else {way}"
    return f"nothing of this study has been launched ({runs}); {way}"


def _way_on(study: StudyState) -> str:
    """Tell the launch that goes on; one of a rehearsal cannot, it begins another."""
    words = "to rehearse it again" if study.arguments.rehearsal else "to go on"
    return f"{words}: {_launch_command(study)}"


def _launch_command(study: StudyState) -> str:
    return study.arguments.call("launch")


def _summary(study: StudyState) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in study.counts.items() if count)
    return f"{counted(len(study.plan.runs), 'run')}{states and ': '}{states}"


def _launch(study: StudyState) -> Iterator[StatusSentence]:
    if told := never_launched(study):
        yield StatusSentence(told)
    elif study.is_cancelled and study.counts["done"] < len(study.plan.runs):
        yield StatusSentence(f"this study was cancelled; {_way_on(study)}")


def _time(time_left: TimeLeft) -> Iterator[StatusSentence]:
    if time_left.study:
        many = time_left.processes
        processes = "one process" if many == 1 else f"{many:,} processes"
        text = f"about {duration(time_left.study)} to go with {processes}, as now"
        yield StatusSentence(text, USEFUL)


def _waiting(study: StudyState) -> Iterator[StatusSentence]:
    """Tell Slurm's reasons of pending runs, without those that wait in a pack that runs."""
    pending = (status for status in study.status.values() if status.state == "pending")
    reasons = Counter(each.why for each in pending if not each.why.startswith("behind"))
    for why, count in reasons.most_common(_MOST_REASONS):
        yield StatusSentence(f"waiting: {count:,}: {with_own_word(why)}", USEFUL)
    if (more := len(reasons) - _MOST_REASONS) > 0:
        yield StatusSentence(f"waiting for {more:,} more reasons; see --json", DETAIL)


def _without_job(study: StudyState) -> Iterator[StatusSentence]:
    """Tell why runs have no job any more: they were cancelled, or a job before them failed."""
    missing = (status for status in study.status.values() if status.state == "missing")
    for why, count in Counter(status.why for status in missing if status.why).items():
        meaning = MISSING_MEANINGS.get(why)
        text = f"missing: {why}: {count:,}" + (f" ({meaning})" if meaning else "")
        yield StatusSentence(text, USEFUL)


def _bottlenecks(study: StudyState) -> Iterator[StatusSentence]:
    """Tell which runs wait for data: each pre-training, fine-tunings of a data set together."""
    waits: dict[tuple[str, str], list[float]] = {}
    for run in study.plan.runs:
        share = _data_wait(study, run)
        if share is not None:
            who = study.labels[run.id] if run.kind == "pretrain" else str(run.spec["dataset"])
            waits.setdefault((run.kind, who), []).append(share)
    costs = study.plan.costs
    has_gpu = costs is not None and costs.speed.has_gpu
    for (kind, who), shares in waits.items():
        if (share := mean(shares)) > _WAIT_SHARE:
            yield _waits_for_data(kind, who, len(shares), share, has_gpu)


def _data_wait(study: StudyState, run: Run) -> float | None:
    """The share of its time that a running run has waited for data; None before its first step."""
    status = study.status[run.id]
    if status.state != "running" or status.progress is None:
        return None
    share = status.progress.get("data_wait")
    return None if share is None else float(share)


def _waits_for_data(kind: str, who: str, count: int, share: float, has_gpu: bool) -> StatusSentence:
    many = count > 1
    if kind == "finetune":
        who = f"{count:,} fine-tunings on {who}" if many else f"a fine-tuning on {who}"
    if has_gpu:
        who = f"the GPU{'s' * many} of {who}"
    text = (
        f"{who} wait{'' if many else 's'} for data {100 * share:.0f}% of the time: more "
        f"resources.{kind}.workers or faster storage would speed it up"
    )
    return StatusSentence(text, DETAIL)


def _failures(study: StudyState) -> Iterator[StatusSentence]:
    """Tell for each class of failure: how many, its meaning, and an example."""
    classes: dict[str, list[str]] = {}
    for run_id, status in study.status.items():
        if status.state in ("failed", "lost"):
            classes.setdefault(f"{status.state}: {status.why}", []).append(run_id)
    for kind, runs in sorted(classes.items()):
        first = study.status[runs[0]]
        more = f" and {len(runs) - _MANY:,} more" if len(runs) > _MANY else ""
        meaning = retry_policy.rule_of(first.why).meaning
        yield StatusSentence(f"{kind}: {len(runs):,}" + (f" ({meaning})" if meaning else ""))
        yield StatusSentence(f"  {first.message}", USEFUL)
        yield StatusSentence(f"  {' '.join(runs[:_MANY])}{more}; more with --why RUN", DETAIL)
    failed = [status for status in study.status.values() if status.state == "failed"]
    if any(not status.is_retried("launch") for status in failed):
        call = f"{_launch_command(study)} --retry-failed"
        yield StatusSentence(f"to try them again, once the cause is fixed: {call}", USEFUL)


def _end(study: StudyState) -> Iterator[StatusSentence]:
    """Tell what goes on by itself: the relay, or where the report is."""
    counts = study.counts
    if study.slurm_error:
        yield StatusSentence(f"{study.slurm_error}; only heartbeats show what runs")
    elif study.relay is not None:
        reason = ""
        if study.relay.state == "PENDING":
            reason = f": {with_own_word(study.relay.reason)}"
        yield StatusSentence(f"relay: job {study.relay.job}, {study.relay.state.lower()}{reason}")
    elif cluster := study.silent_cluster_of_relay:
        yield StatusSentence(
            f"the relay is on cluster {cluster}, if it is still in the queue there"
        )
    elif (
        study.ledger.submissions_of(study.name)
        and not study.is_cancelled
        and any(counts[state] for state in ("running", "starting", "pending", "lost", "missing"))
    ):
        yield StatusSentence(f"no relay is in the queue; {_way_on(study)}")
    else:
        yield from _without_jobs(study)


def _without_jobs(study: StudyState) -> Iterator[StatusSentence]:
    """Tell how to go on where Slurm has nothing of the study, and where its report is."""
    counts, report = study.counts, study.store.study(study.name).report
    goes_on = study.is_live or study.is_cancelled or not study.is_launched
    if (counts["missing"] or counts["lost"]) and not goes_on:
        yield StatusSentence(f"nothing works on the rest; {_way_on(study)}")
    elif counts["done"] and not goes_on and not report.exists():
        yield StatusSentence(_without_report(study))
    if report.exists():
        yield StatusSentence(f"report: {report}")


def _without_report(study: StudyState) -> str:
    """Tell where its relay ended, by an error or because it was cancelled, and what to do."""
    logs = study.store.study(study.name).logs
    jobs = [s.job for s in study.ledger.submissions_of(study.name) if s.kind == "relay" and s.job]
    log = log_path(logs, jobs[-1]) if jobs else None
    why = f"; see the log of its last relay, {log}" if log and log.exists() else ""
    # A launch does both; that of a rehearsal would begin another one.
    commands = ("collect", "report") if study.arguments.rehearsal else ("launch",)
    way = " && ".join(map(study.arguments.call, commands))
    return f"no report is there{why}; to collect and report: {way}"
