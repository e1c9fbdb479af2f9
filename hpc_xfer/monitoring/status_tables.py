"""Draw the state of a study: a table per stage, then sentences on what waits and what failed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpc_xfer.monitoring import eta
from hpc_xfer.monitoring.eta import TimeLeft, duration
from hpc_xfer.monitoring.sentences import StatusSentence, never_launched, sentences_of
from hpc_xfer.monitoring.shown_table import ShownTable, gravest
from hpc_xfer.monitoring.study_state import StudyState, is_elsewhere, place_of
from hpc_xfer.states.run_states import RunStatus
from hpc_xfer.study.plan import Run
from hpc_xfer.study.state_words import STATES, State

if TYPE_CHECKING:
    from rich.console import Console

_LISTED = 8  # running fine-tunings that are listed one by one

_LONG = ("pre-training", "fine-tuning", "job", "why")  # columns of text


def show(study: StudyState, console: "Console") -> None:
    """Print pre-trainings, fine-tunings by data set and shots, running ones, and problems.

    A sentence is one line, however long: it may hold a command to copy.
    """
    tables, sentences = parts_of(study)
    for table in tables:
        console.print(table.drawn())
    for line in sentences:
        console.print(line.text, soft_wrap=True)


def parts_of(study: StudyState) -> tuple[list[ShownTable], list[StatusSentence]]:
    """Return the tables and the sentences; nothing but one sentence where nothing was launched."""
    told = never_launched(study)
    if told and study.counts["missing"] == len(study.plan.runs):
        return [], [StatusSentence(told), *(StatusSentence(note) for note in study.notes)]
    time_left = eta.forecast(study.plan, study.status)
    tables = []
    if study.plan.of("pretrain"):  # a study of imported results alone has none
        tables.append(_pretrain_table(study))
    if study.plan.of("finetune"):
        tables.append(_finetune_table(study, time_left))
    working = [
        run
        for run in study.plan.of("finetune")
        if study.status[run.id].state in ("running", "starting")
    ]
    if working:
        tables.append(_running_table(study, working))
    return tables, sentences_of(study, time_left)


def _pretrain_table(study: StudyState) -> ShownTable:
    right = ("step", "samples/s", "waits", "to go")
    columns = ("run", "pre-training", "state", *right, "job", "node", "why")
    runs = study.plan.of("pretrain")
    rows = []
    for run in runs:
        status = study.status[run.id]
        why = "" if status.why == "None" or is_elsewhere(status) else status.why
        name = study.labels[run.id]
        rows.append([run.id, name, status.state, *_speed(status), *place_of(status), why])
    states = [study.status[run.id].state for run in runs]
    least = ("node", "waits", "why", "samples/s", "job", "step")
    return ShownTable("pre-training", columns, rows, states, right, _LONG, least)


def _speed(status: RunStatus) -> list[str]:
    """Return step, samples/s, share of waiting for data and time to go of a running run."""
    beat = status.progress or {}
    if status.state != "running" or "total" not in beat:
        return [""] * 4
    wait = f"{100 * beat.get('data_wait', 0):.0f}%"
    seconds = eta.reported_seconds(beat)
    return [
        f"{beat['step']:,}/{beat['total']:,}",
        f"{beat['samples_per_second']:,.0f}",
        wait,
        "" if seconds is None else duration(seconds),
    ]


def _finetune_table(study: StudyState, time_left: TimeLeft) -> ShownTable:
    right = ("shots", "runs", *STATES, "to go")
    groups: dict[eta.Group, list[State]] = {}
    for run in study.plan.of("finetune"):
        groups.setdefault(eta.group_of(run), []).append(study.status[run.id].state)
    rows = []
    for group, states in groups.items():
        cells = [f"{count:,}" if (count := states.count(state)) else "" for state in STATES]
        seconds = time_left.groups.get(group)
        to_go = "" if seconds is None else duration(seconds)
        rows.append([*group, f"{len(states):,}", *cells, to_go])
    ranks = [gravest(states) for states in groups.values()]
    columns = ("data set", *right)
    return ShownTable("fine-tuning", columns, rows, ranks, right, least=("to go", "runs"))


def _running_table(study: StudyState, runs: Sequence[Run]) -> ShownTable:
    some = f", {_LISTED} of {len(runs):,}" if len(runs) > _LISTED else ""
    right = ("step", "samples/s", "to go")
    columns = ("run", "fine-tuning", *right, "job", "node")
    # Those that tell their progress come first.
    listed = sorted(runs, key=lambda run: study.status[run.id].state == "starting")[:_LISTED]
    rows = []
    for run in listed:
        status = study.status[run.id]
        step, speed, _, to_go = _speed(status)
        step = "starting" if status.state == "starting" else step
        rows.append([run.id, study.titles.of(run), step, speed, to_go, *place_of(status)])
    states = [study.status[run.id].state for run in listed]
    least = ("node", "samples/s", "job", "step")
    return ShownTable(f"running{some}", columns, rows, states, right, _LONG, least)
