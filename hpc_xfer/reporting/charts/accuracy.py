"""Accuracy and gain over scratch against shots, few lines a figure; snapshots of a pre-training."""

from collections.abc import Iterator, Sequence

from hpc_xfer.reporting.charts.chart import ACCURACY, POINTS, AxisScale, Chart, Frame, Mark, Trace
from hpc_xfer.reporting.charts.looks import shot_look
from hpc_xfer.reporting.charts.over_shots import ZERO, Reading, ShotLine, shots_frame
from hpc_xfer.reporting.charts.tables import (
    FigureTables,
    datasets_of,
    encoders_of,
    gap_ends,
    percent_ends,
    shot_axis,
    snapshot_series,
)
from hpc_xfer.reporting.charts.words import covers_averages, covers_gaps, file_name
from hpc_xfer.results.answers.rows import Gap
from hpc_xfer.results.answers.terms import dataset_words, mode_words, scratch_words, shots_text
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.study.labels import short_count

MOST_LINES = 7  # a frame, scratch not counted; more cannot be told apart


def accuracy_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make accuracy against shots: lines are sources, method and size are fixed in a figure."""
    for mode in tables.modes:
        averages = tables.ended(mode)
        for group, encoders in groups(encoders_of(averages)).items():
            looks = tables.looks.apart(encoders)
            here = [a for a in averages if a.encoder in looks]
            frames = [
                shots_frame(
                    dataset,
                    [ShotLine(e.label, looks[e], _readings(here, e, dataset)) for e in looks],
                    ACCURACY,
                )
                for dataset in datasets_of(here)
            ]
            yield Chart(
                name=file_name("accuracy", mode, group),
                question="Which pre-training transfers best, at how many shots?",
                title=_title("How accurate is each pre-training at each shot count?", group, mode),
                text="Test accuracy against shots per class. "
                + covers_averages(here)
                + _left_out(here),
                frames=tuple(frames),
            )


def gain_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make the gain over scratch against shots, in the same groups as the accuracy."""
    info, pairs = tables.encoders, tables.pairs("scratch")
    for mode in tables.modes:
        rows = [row for row in pairs if row.mode == mode]
        for group, encoders in groups(list(dict.fromkeys(info[r.a] for r in rows))).items():
            looks = tables.looks.apart(encoders)
            here = [row for row in rows if info[row.a] in looks]
            base = scratch_words(mode)
            frames = [
                shots_frame(
                    dataset,
                    [ShotLine(e.label, looks[e], _gains(here, e.label, dataset)) for e in looks],
                    AxisScale("gain (points)", most=POINTS),
                    guides=(ZERO,),
                )
                for dataset in datasets_of(here)
            ]
            yield Chart(
                name=file_name("gain", mode, group),
                question=f"What does pre-training gain over {base}?",
                title=_title(f"What does pre-training gain over {base}?", group, mode),
                text=f"Test accuracy minus that of {base}, on the same images. "
                + covers_gaps(here, "simultaneous (Dunnett)"),
                frames=tuple(frames),
            )


def snapshot_charts(tables: FigureTables) -> Iterator[Chart]:
    """Make accuracy against the samples that one pre-training had seen at its snapshots."""
    for mode in tables.modes:
        measured = [a for a in tables.averages if a.mode == mode and a.interval]
        for label, group in snapshot_series(measured).items():
            yield Chart(
                name=file_name("seen", mode, label),
                question="How does accuracy grow during one pre-training?",
                title=_title("How does accuracy grow during pre-training?", label, mode),
                text="Test accuracy from snapshots of one pre-training against the samples it had "
                "seen; the last point is its end. A snapshot is taken before the learning rate "
                "has come down, so a run that was meant to end there may be better. "
                + covers_averages(group),
                frames=tuple(_seen_frame(d, group) for d in datasets_of(group)),
            )


def groups(encoders: Sequence[EncoderInfo]) -> dict[str, list[EncoderInfo]]:
    """Share encoders out among figures: all in one if few, else by method and size.

    Method and size with three sources or more are a figure; the others are put together, method
    by method. Scratch is in each.
    """
    scratch = [e for e in encoders if e.method == "scratch"]
    trained = [e for e in encoders if e.method != "scratch"]
    if len(trained) <= MOST_LINES:
        return {"": [*trained, *scratch]} if encoders else {}
    alike: dict[object, list[EncoderInfo]] = {}
    for encoder in trained:
        alike.setdefault((_plain_name(encoder), encoder.settings), []).append(encoder)
    found: dict[str, list[EncoderInfo]] = {}
    rest: dict[str, list[EncoderInfo]] = {}
    names = _names([group[0] for group in alike.values()])
    for name, group in zip(names, alike.values(), strict=True):
        if len(group) >= 3:
            found.update(_parts(name, group))
        else:
            rest.setdefault(group[0].method, []).extend(group)
    together = [e for group in rest.values() for e in group]
    if len(together) <= MOST_LINES:
        rest = {"others": together} if together else {}
    else:
        rest = {f"{method} others": group for method, group in rest.items()}
    for name, group in rest.items():
        found.update(_parts(name, group))
    return {name: [*group, *scratch] for name, group in found.items()}


def _names(encoders: Sequence[EncoderInfo]) -> list[str]:
    """Name groups by one encoder of each: its method, architecture and size.

    Settings are added where these are not enough, and only those that differ: methods have crops
    and betas of their own, which would fill a title.
    """
    named: dict[str, list[EncoderInfo]] = {}
    for encoder in encoders:
        named.setdefault(_plain_name(encoder), []).append(encoder)
    return [_distinct_name(encoder, named[_plain_name(encoder)]) for encoder in encoders]


def _plain_name(encoder: EncoderInfo) -> str:
    size = "" if encoder.samples is None else short_count(encoder.samples)
    return " ".join(word for word in (encoder.method, encoder.arch, size) if word)


def _distinct_name(encoder: EncoderInfo, others: Sequence[EncoderInfo]) -> str:
    settings = [
        f"{name.removeprefix('pretrain_')}={value}"
        for name, value in encoder.settings
        if any(dict(other.settings).get(name) != value for other in others)
    ]
    return " ".join((_plain_name(encoder), *settings))


def _parts(name: str, group: list[EncoderInfo]) -> dict[str, list[EncoderInfo]]:
    """Cut a group that has too many lines into equal parts."""
    n = -(-len(group) // MOST_LINES)
    size = -(-len(group) // n)
    parts = [group[i : i + size] for i in range(0, len(group), size)]
    names = [name] if len(parts) == 1 else [f"{name} {i + 1}" for i in range(len(parts))]
    return dict(zip(names, parts, strict=True))


def _readings(averages: Sequence[Average], encoder: EncoderInfo, name: str) -> dict[str, Reading]:
    return {
        a.shots: Reading(100 * a.interval.mean, *percent_ends(a.interval), a.missing > 0)
        for a in averages
        if a.encoder == encoder and a.dataset == name and a.interval
    }


def _gains(rows: Sequence[Gap], label: str, dataset: str) -> dict[str, Reading]:
    return {
        r.shots: Reading(100 * r.difference, *gap_ends(r), r.missing > 0)
        for r in rows
        if r.a == label and r.dataset == dataset
    }


def _seen_frame(dataset: str, averages: Sequence[Average]) -> Frame:
    here = [a for a in averages if a.dataset == dataset and a.encoder.samples_seen]
    shots = shot_axis(averages)
    places = sorted({a.encoder.samples_seen or 0 for a in averages} - {0})
    traces = [
        Trace(
            shots_text(name),
            shot_look(i, len(shots)),
            tuple(
                sorted((_seen_mark(a) for a in here if a.shots == name), key=lambda mark: mark.x)
            ),
        )
        for i, name in enumerate(shots)
    ]
    x = AxisScale("samples seen", tuple((float(n), short_count(n)) for n in places), log=True)
    shown = tuple(trace for trace in traces if trace.marks)
    return Frame(dataset_words(dataset), shown, x, ACCURACY)


def _seen_mark(average: Average) -> Mark:
    seen = average.encoder.samples_seen or 0
    assert average.interval is not None
    low, high = percent_ends(average.interval)
    y = 100 * average.interval.mean
    return Mark(seen, y, low, high, average.missing > 0, short_count(seen))


def _title(question: str, group: str, mode: str) -> str:
    return f"{question} " + ", ".join(word for word in (group, mode_words(mode)) if word)


def _left_out(averages: Sequence[Average]) -> str:
    found = dict.fromkeys(a.left_out for a in averages if a.left_out)
    return f" The mean leaves out {'; '.join(found)}." if found else ""
