"""Made-up rows of the answer tables; what a test does not say is an ordinary value."""

from typing import Any

from hpc_xfer.results.answers.rows import Gap, Rank, Scaling, Variance
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.intervals import Interval


def gap(
    a: str, b: str, difference: float, low: float | None, high: float | None, **others: Any
) -> Gap:
    """Compare a with b, in points; the verdict follows from the interval."""
    verdict = "" if low is None or high is None else "not told apart"
    if low is not None and low > 0:
        verdict = "a"
    elif high is not None and high < 0:
        verdict = "b"
    usual: dict[str, Any] = {
        "axis": "method", "kind": "pair", "family": "", "at": "sans, 4k samples", "a": a, "b": b,
        "level_a": a, "level_b": b, "mode": "ft", "dataset": "digits", "shots": "5",
        "difference": difference / 100, "ci95_low": _share(low), "ci95_high": _share(high),
        "images_low": None, "images_high": None, "p": None, "p_holm": None, "comparisons": 1,
        "levels": 2, "unbiased": None, "freedom": 4.0, "target": "E1" if verdict else "",
        "seeds_a": 1, "seeds_b": 1, "draws": 3, "datasets": 1, "left_out": "", "missing": 0,
        "differs": "", "verdict": verdict, "why": "" if verdict else "one draw: no interval",
    }  # fmt: skip
    return Gap(**(usual | others))


def sources(difference: float, half: float | None, shots: str, **others: Any) -> Gap:
    """The best of seven sources minus the worst, on the mean of six data sets."""
    low, high = (None, None) if half is None else (difference - half, difference + half)
    usual: dict[str, Any] = {
        "axis": "source", "kind": "best-worst", "at": "clip, RN50, 2.7M samples", "levels": 7,
        "comparisons": 21, "dataset": "mean", "datasets": 6, "shots": shots,
    }  # fmt: skip
    return gap("clip laion 2.7M", "clip wit 2.7M", difference, low, high, **(usual | others))


def spread(size: float, low: float | None, high: float | None, shots: str, **others: Any) -> Gap:
    """The spread of seven sources, on the mean of six data sets."""
    usual: dict[str, Any] = {
        "axis": "source", "kind": "spread", "at": "clip, RN50, 2.7M samples", "levels": 7,
        "dataset": "mean", "datasets": 6, "shots": shots, "verdict": "", "why": "", "target": "E1",
    }  # fmt: skip
    return gap("", "", size, low, high, **(usual | others))


def scaling(kind: str, series: str, reference: str = "", **others: Any) -> Scaling:
    usual: dict[str, Any] = {
        "kind": kind, "series": series, "reference": reference, "mode": "ft", "dataset": "digits",
        "shots": "5", "sizes": 5, "smallest": 1_000_000, "largest": 15_000_000, "value": None,
        "ci95_low": None, "ci95_high": None, "base": None, "censored": "", "fit": None,
        "freedom": 3.0, "target": "", "text": "", "why": "",
    }  # fmt: skip
    return Scaling(**(usual | others))


def rank(label: str, value: float, **others: Any) -> Rank:
    usual: dict[str, Any] = {
        "mode": "ft", "shots": "10", "label": label, "rank": value, "datasets": 9, "labels": 7,
        "friedman_p": 0.017, "critical_difference": 3.0, "not_told_apart": "", "left_out": "",
    }  # fmt: skip
    return Rank(**(usual | others))


def variance(component: str, sd: float | None, **others: Any) -> Variance:
    usual: dict[str, Any] = {
        "mode": "ft", "dataset": "digits", "shots": "5", "component": component,
        "sd": _share(sd), "freedom": 2.0, "repeats": 3, "half_width": None,
        "half_width_more": None, "cost_hours": None, "text": "", "why": "",
    }  # fmt: skip
    return Variance(**(usual | others))


def average(
    label: str, mean: float | None, half: float | None = None, shots: str = "5", **others: Any
) -> Average:
    """An accuracy in percent, with half its interval."""
    usual: dict[str, Any] = {
        "encoder": encoder(label), "dataset": "digits", "shots": shots, "mode": "ft",
        "over": "draws", "missing": 0, "target": "" if half is None else "E1", "draws": 3,
        "interval": None if mean is None else _interval(mean / 100, _share(half)),
    }  # fmt: skip
    return Average(**(usual | others))


def encoder(label: str) -> EncoderInfo:
    method, *_ = label.split()
    return EncoderInfo(label, method, "RN50", "", None, None, None)


def _interval(mean: float, half: float | None) -> Interval:
    if half is None:
        return Interval(mean, 1, None, None, None)
    return Interval(mean, 3, half / 2.48, mean - half, mean + half)


def _share(points: float | None) -> float | None:
    return None if points is None else points / 100
