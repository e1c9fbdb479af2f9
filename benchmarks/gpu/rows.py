"""The rows of the table, in the order in which they are measured: the most telling first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

METHODS = ("clip", "simclr", "supervised")
PRECISIONS = ("bf16", "tf32", "fp32", "fp16")
_OURS, _BOTH, _COMPILED, _STUDY = 15.0, 25.0, 90.0, 60.0  # seconds on a data center's card


@dataclass(frozen=True)
class Measurement:
    """What to measure, under the name of a function, and how long that takes about."""

    what: str
    measure: str
    how: dict[str, Any]
    seconds: float


def measurements() -> list[Measurement]:
    return [
        *_steps(),
        *_waits(),
        *_around_the_step(),
        *_further_steps(),
        *_studies(),
        *_compiled(),
        Measurement("a device-side assert", "device_assert", {}, 10),
    ]


def _step(
    method: str, arch: str, batch: int, precision: str, peer: bool = False, **how: Any
) -> Measurement:
    words = {"recomputed": "recomputed", "compiled": "compiled", "accumulate": "in 4 parts"}
    more = [words[name] for name in how]
    what = f"{method} {arch}, batch {batch}, {' '.join([precision, *more])}"
    seconds = _COMPILED if "compiled" in how else _BOTH if peer else _OURS
    all_ = {"method": method, "arch": arch, "batch": batch, "precision": precision, "peer": peer}
    return Measurement(what, "step", {**all_, **how}, seconds)


def _steps() -> Iterator[Measurement]:
    yield _step("clip", "RN50", 128, "bf16", peer=True)
    yield _step("clip", "ViT-B-32", 128, "bf16", peer=True)
    yield _step("simclr", "RN50", 128, "bf16")
    yield _step("supervised", "RN50", 128, "bf16")
    for arch in ("RN50", "ViT-B-32"):
        yield _step("clip", arch, 256, "bf16", peer=True)
        yield _step("clip", arch, 128, "tf32", peer=True)


def _waits() -> Iterator[Measurement]:
    for method in METHODS:
        for precision in PRECISIONS:
            how = {"method": method, "precision": precision}
            yield Measurement(f"host waits, {method} RN50, {precision}", "host_waits", how, 6)


def _around_the_step() -> Iterator[Measurement]:
    for workers in (2, 8):
        how = {"workers": workers, "batch": 128, "steps": 24}
        what = f"clip RN50 from JPEG shards, batch 128, bf16, {workers} workers"
        yield Measurement(what, "loading", how, 45)
    yield Measurement("checkpoint of clip RN50, copy to the host", "checkpoint", {}, 12)
    for precision in ("fp32", "bf16"):
        what = f"features of 224 px, RN50, {precision}"
        yield Measurement(what, "evaluation", {"precision": precision}, 12)
    yield Measurement("a step that does not fit into memory", "out_of_memory", {}, 15)


def _further_steps() -> Iterator[Measurement]:
    for arch in ("RN50", "ViT-B-32"):
        yield _step("clip", arch, 32, "bf16", peer=True)
        yield _step("clip", arch, 128, "fp32", peer=True)
        yield _step("clip", arch, 128, "bf16", peer=True, accumulate=4)
    yield _step("clip", "RN50", 128, "bf16", recomputed=True)  # open_clip's ResNet cannot
    yield _step("clip", "ViT-B-32", 128, "bf16", peer=True, recomputed=True)
    for method in ("simclr", "supervised"):
        yield _step(method, "RN50", 256, "bf16")
        yield _step(method, "RN50", 128, "tf32")
        yield _step(method, "RN50", 128, "fp32")


def _studies() -> Iterator[Measurement]:
    for per_gpu in (1, 2, 4):
        what = f"12 fine-tunings of RN50, 50 images each, {per_gpu} at once on a GPU"
        how = {"per_gpu": per_gpu, "seconds": 2 * _STUDY}
        yield Measurement(what, "finetunes_per_hour", how, _STUDY)


def _compiled() -> Iterator[Measurement]:
    yield _step("clip", "ViT-B-32", 128, "bf16", peer=True, compiled=True)
    yield _step("clip", "RN50", 128, "bf16", compiled=True)
    for method in ("simclr", "supervised"):
        yield _step(method, "RN50", 128, "bf16", compiled=True)
