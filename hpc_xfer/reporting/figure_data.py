"""Shots in order and in words, and the snapshots of each pre-training."""

from collections.abc import Sequence

from hpc_xfer.results.averages import Average
from hpc_xfer.study.labels import without_snapshot


def shot_order(shots: str) -> tuple[bool, int]:
    """Sort key: 1, 5, 10, ..., full."""
    return (True, 0) if shots == "full" else (False, int(shots))


def shot_axis(averages: Sequence[Average]) -> list[str]:
    """The shots of these averages, in order."""
    return sorted({average.shots for average in averages}, key=shot_order)


def shots_text(shots: str) -> str:
    return {"full": "full data", "1": "1 shot", "0": "zero-shot"}.get(shots, f"{shots} shots")


def snapshot_series(averages: Sequence[Average]) -> dict[str, list[Average]]:
    """Label of each pre-training with snapshots -> averages of its snapshots and its end."""
    found: dict[str, list[Average]] = {}
    for average in averages:
        found.setdefault(without_snapshot(average.label), []).append(average)
    return {
        name: group
        for name, group in found.items()
        if any(average.encoder.snapshot is not None for average in group)
    }
