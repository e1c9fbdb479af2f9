"""Tables of made-up studies, small and large, written without any run.

    write(folder, SMALL)
    write(folder, LARGE)

They have what the figures read, in the form that `collect` gives it. Numbers are plausible, not
estimated: an interval here is as wide as a formula says.
"""

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpc_xfer.results import averages
from hpc_xfer.results.answers.axes import Comparison, comparisons
from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, table_of
from hpc_xfer.results.answers.series import Series, all_series
from hpc_xfer.results.averages import MEAN, Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.intervals import Interval
from hpc_xfer.results.tables import csv_files
from hpc_xfer.study.labels import short_count

Key = tuple[EncoderInfo, str, str, str]  # encoder, mode, data set, shots
SHOTS = ("1", "5", "10", "20", "full")
_BASE = {"1": 0.25, "5": 0.42, "10": 0.52, "20": 0.60, "full": 0.80}
_NOISE = {"1": 0.05, "5": 0.03, "10": 0.022, "20": 0.018, "full": 0.006}
_HELP = {"clip": 0.10, "simclr": 0.06, "supervised": 0.13, "scratch": 0.0}


@dataclass(frozen=True)
class Answers:
    """Encoders, data sets and repetitions of a made-up study."""

    encoders: tuple[EncoderInfo, ...]
    datasets: Mapping[str, tuple[str, ...]]  # name -> shots
    modes: tuple[str, ...]
    seeds: int = 1


def encoder(
    method: str, source: str = "", samples: int | None = None, curation: str = ""
) -> EncoderInfo:
    size = "" if samples is None else short_count(samples)
    label = " ".join(word for word in (method, source, size) if word)
    seen = None if samples is None else 16 * samples
    return EncoderInfo(label, method, "RN50", source, samples, seen, None, curation)


SOURCES = ("laion", "yfcc", "redcaps", "shutterstock", "wit")
SIZES = (500_000, 1_000_000, 15_000_000)
CURATION = {"laion": "web", "yfcc": "web", "redcaps": "web", "shutterstock": "curated"}
SMALL = Answers(
    encoders=(
        encoder("clip", "sans", 4000),
        encoder("clip", "sans", 16000),
        encoder("clip", "serif", 4000),
        encoder("clip", "serif", 16000),
        encoder("scratch"),
    ),
    datasets={"digits": ("1", "5", "full"), "mnist": ("1", "full")},
    modes=("lp",),
    seeds=3,
)
# 20 pre-trainings and nine data sets, of which one lacks two shot counts.
LARGE = Answers(
    encoders=(
        *(encoder("clip", name, 2_700_000, CURATION.get(name, "")) for name in SOURCES),
        *(encoder("clip", name, n, CURATION[name]) for name in SOURCES[:2] for n in SIZES),
        *(encoder("simclr", name, 2_700_000, CURATION.get(name, "")) for name in SOURCES),
        *(encoder("supervised", name, 2_700_000, CURATION[name]) for name in SOURCES[:3]),
        encoder("scratch"),
    ),
    datasets={
        **dict.fromkeys(
            ("cifar100", "dtd", "caltech101", "pets", "real", "eurosat", "cassava",
             "camera-traps"), SHOTS,
        ),
        "clipart": ("1", "5", "full"),
    },
    modes=("ft", "lp"),
)  # fmt: skip


def write(folder: Path, study: Answers) -> None:
    """Write averages, gaps, scaling, ranks, cells and runs."""
    means = _means(study)
    rows = [_average(study, key, value) for key, value in means.items()]
    csv_files.write(folder / "averages.csv", *averages.table(rows))
    csv_files.write(folder / "gaps.csv", *table_of(Gap, _gaps(study, means)))
    csv_files.write(folder / "scaling.csv", *table_of(Scaling, _scaling(study, means)))
    csv_files.write(folder / "ranks.csv", *table_of(Rank, _ranks(study, means)))
    csv_files.write(folder / "cells.csv", *_cells(study, means))
    csv_files.write(folder / "runs.csv", *_runs(study))


def _means(study: Answers) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for each, mode in itertools.product(study.encoders, study.modes):
        for dataset, shots in study.datasets.items():
            for name in shots:
                found[(each, mode, dataset, name)] = _accuracy(each, mode, dataset, name)
        if len(study.datasets) > 1:
            shared = [n for n in SHOTS if all(n in has for has in _whole(study).values())]
            for name in shared:
                values = [found[(each, mode, dataset, name)] for dataset in _whole(study)]
                found[(each, mode, MEAN, name)] = sum(values) / len(values)
    return found


def _whole(study: Answers) -> dict[str, tuple[str, ...]]:
    """Data sets that have the most shot counts."""
    most = max(len(shots) for shots in study.datasets.values())
    return {name: shots for name, shots in study.datasets.items() if len(shots) == most}


def _accuracy(each: EncoderInfo, mode: str, dataset: str, shots: str) -> float:
    def luck(*words: str) -> float:
        return random.Random(" ".join(words)).gauss(0, 1)

    noise = _NOISE[shots]
    value = _BASE[shots] - (0.06 if mode == "lp" else 0.0) + 0.08 * luck(dataset)
    if each.method != "scratch":
        size = math.log10((each.samples or 1) / 1e6)
        help_ = _HELP[each.method] + 0.04 * size + 0.02 * luck(each.source)
        value += help_ * (0.4 if shots == "full" else 1.0)
    return min(0.97, max(0.03, value + 0.5 * noise * luck(each.label, dataset, shots, mode)))


def _average(study: Answers, key: Key, value: float) -> Average:
    each, mode, dataset, shots = key
    sets = len(_whole(study)) if dataset == MEAN else 1
    half = 2.5 * _NOISE[shots] / 3**0.5 / sets**0.5
    alone = each.label == study.encoders[0].label and dataset == "pets" and shots == "5"
    return Average(
        encoder=each, dataset=dataset, shots=shots, mode=mode,
        interval=Interval(value, 1 if alone else 3, half / 2.5,
                          None if alone else value - half, None if alone else value + half),
        over="draws", missing=1 if (dataset, shots) == ("dtd", "10") else 0,
        target="E2" if study.seeds > 1 else "E1", seeds=study.seeds, draws=3, n_test=1000,
        datasets=sets,
        left_out="clipart (no 10, 20 shots)" if dataset == MEAN and "clipart" in study.datasets
        else "",
    )  # fmt: skip


def _gaps(study: Answers, means: dict[Key, float]) -> Iterator[Gap]:
    places = dict.fromkeys(key[1:] for key in means)
    for comparison in comparisons(study.encoders):
        for mode, dataset, shots in places:
            at = {e: means[(e, mode, dataset, shots)] for e in comparison.encoders}
            yield from _family(study, comparison, (mode, dataset, shots), at)


def _family(
    study: Answers, each: Comparison, place: tuple[str, str, str], at: dict[EncoderInfo, float]
) -> Iterator[Gap]:
    mode, dataset, shots = place
    sets = len(_whole(study)) if dataset == MEAN else 1
    half = 4.0 * _NOISE[shots] * (2 / 3 / sets) ** 0.5
    level = dict(each.levels)
    target = "E2" if study.seeds > 1 else "E1"

    def row(a: EncoderInfo, b: EncoderInfo) -> Gap:
        gap = at[a] - at[b]
        return Gap(
            axis=each.axis, kind="pair", family=" | ".join([each.axis, each.at, *place]),
            at=each.at, a=a.label, b=b.label, level_a=level[a], level_b=level[b], mode=mode,
            dataset=dataset, shots=shots, difference=gap, ci95_low=gap - half,
            ci95_high=gap + half, images_low=None, images_high=None, p=0.04, p_holm=0.1,
            comparisons=1, levels=len(at), unbiased=None, freedom=8.0, target=target,  # type: ignore[arg-type]  # a str
            seeds_a=study.seeds, seeds_b=study.seeds, draws=3, datasets=sets, left_out="",
            missing=0, differs=each.differs(a, b), verdict="not told apart", why="",
        )  # fmt: skip

    for a, b in each.pairs():
        yield row(a, b)
    if each.reference is None and len(at) > 2:
        best, worst = max(at, key=lambda e: at[e]), min(at, key=lambda e: at[e])
        range_ = row(best, worst)
        yield replace(
            range_, kind="best-worst", unbiased=max(-0.01, range_.difference - 0.4 * half)
        )
        mean = sum(at.values()) / len(at)
        sd = (sum((v - mean) ** 2 for v in at.values()) / (len(at) - 1)) ** 0.5
        yield replace(range_, kind="spread", a="", b="", difference=sd, ci95_low=None,
                      ci95_high=None, verdict="")  # fmt: skip


def _scaling(study: Answers, means: dict[Key, float]) -> Iterator[Scaling]:
    for series in all_series(study.encoders):
        if len(series.encoders) < 2:
            continue
        for mode, dataset, shots in dict.fromkeys(key[1:] for key in means):
            at = {e: means[(e, mode, dataset, shots)] for e in study.encoders}
            slope, start = _fit([(math.log10(e.samples or 1), at[e]) for e in series.encoders])
            sizes = sorted(e.samples or 0 for e in series.encoders)
            base = Scaling(
                kind="slope", series=series.label, reference="", mode=mode, dataset=dataset,
                shots=shots, sizes=len(sizes), smallest=sizes[0], largest=sizes[-1], value=slope,
                ci95_low=slope - 0.02, ci95_high=slope + 0.02, base=None, censored="", fit=0.9,
                freedom=len(sizes) - 2.0, target="E1", text="", why="",
            )  # fmt: skip
            yield base
            yield from _crossings(study, series, base, start, at)


def _crossings(
    study: Answers, series: Series, slope: Scaling, start: float, at: dict[EncoderInfo, float]
) -> Iterator[Scaling]:
    for other in study.encoders:
        if other in series.encoders or other.method == "scratch" or not slope.value:
            continue
        x = 10 ** ((at[other] - start) / slope.value)
        inside = (slope.smallest or 0) <= x <= (slope.largest or 0)
        base = other.samples or 1
        yield replace(
            slope, kind="crossing", reference=other.label, base=base, fit=None,
            value=x / base if inside else None, ci95_low=0.6 * x / base if inside else None,
            ci95_high=1.8 * x / base if inside and 1.8 * x < (slope.largest or 0) else None,
            censored="" if inside else "above" if x > 1e6 else "below",
        )  # fmt: skip


def _fit(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    x = sum(p[0] for p in points) / len(points)
    y = sum(p[1] for p in points) / len(points)
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return slope, y - slope * x


def _ranks(study: Answers, means: dict[Key, float]) -> Iterator[Rank]:
    for mode, shots in itertools.product(study.modes, SHOTS):
        sets = [name for name, has in study.datasets.items() if shots in has]
        if len(sets) < 2:
            continue
        totals = dict.fromkeys(study.encoders, 0.0)
        for name in sets:
            order = sorted(study.encoders, key=lambda e: -means[(e, mode, name, shots)])
            for i, each in enumerate(order):
                totals[each] += (i + 1) / len(sets)
        k = len(totals)
        critical = 3.5 / 2**0.5 * (k * (k + 1) / 6 / len(sets)) ** 0.5
        for each, rank in totals.items():
            near = [o.label for o, r in totals.items() if o != each and abs(r - rank) <= critical]
            yield Rank(
                mode, shots, each.label, rank, len(sets), k, 0.003, critical, "; ".join(near),
                "" if len(sets) == len(study.datasets) else "clipart (no result)",
            )  # fmt: skip


def _cells(study: Answers, means: dict[Key, float]) -> csv_files.Table:
    rows = [
        {**each.row, "pretrain_seed": 0, "dataset": dataset, "shots": shots, "draw": draw,
         "mode": mode, "test_top1": f"{value:.6f}"}
        for (each, mode, dataset, shots), value in means.items()
        if dataset != MEAN
        for draw in range(3)
    ]  # fmt: skip
    return list(rows[0]), rows


def _runs(study: Answers) -> csv_files.Table:
    rows = [
        {"run": f"{i:012d}", "kind": "pretrain", "label": each.label, "steps": 1000,
         "seconds": f"{0.002 * (each.samples or 0) * (3 if each.method == 'simclr' else 1):.3f}",
         "ranks": json.dumps([{"from_step": 0, "ranks": 4}]), "gpu": "A100"}
        for i, each in enumerate(study.encoders)
        if each.method != "scratch"
    ]  # fmt: skip
    return list(rows[0]), rows
