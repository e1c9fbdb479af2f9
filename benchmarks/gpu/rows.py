"""The rows of the table, in the order in which they are measured: the most telling first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

METHODS = ("clip", "simclr", "supervised")
PRECISIONS = ("bf16", "tf32", "fp32", "fp16")
# Seconds on a data center's card. On an H200, 54 s were not enough for RN50 at 128 images beside
# open_clip's, in bf16 as the first row and in tf32; at 256 images they were.
_OURS, _PEER, _COMPILED, _STUDY = {"RN50": 20.0, "ViT-B-32": 6.0}, 8.0, 60.0, 40.0


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
        *_around_the_step(),
        *_probes(),
        *_failures(),
        *_studies(),
        *_other_steps(),
        *_compiled(),
        *_further_steps(),
    ]


def _step(
    method: str, arch: str, batch: int, precision: str, peer: bool = False, **how: Any
) -> Measurement:
    words = {"recomputed": "recomputed", "compiled": "compiled", "accumulate": "in 4 parts"}
    more = [words[name] for name in how]
    what = f"{method} {arch}, batch {batch}, {' '.join([precision, *more])}"
    seconds = _OURS[arch] + (_PEER if peer else 0) + (_COMPILED if "compiled" in how else 0)
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


def _around_the_step() -> Iterator[Measurement]:
    for method in METHODS:
        what = f"host waits in a step, {method} RN50, batch 128"
        yield Measurement(what, "host_waits", {"method": method, "precisions": PRECISIONS}, 10)
    for workers, seconds in ((2, 40), (8, 20)):
        how = {"workers": workers, "batch": 128, "steps": 16}
        what = f"clip RN50 from JPEG shards, batch 128, bf16, {workers} workers"
        yield Measurement(what, "loading", how, seconds)
    yield Measurement("checkpoint of clip RN50, copy to the host", "checkpoint", {}, 10)
    for precision in ("fp32", "bf16"):
        what = f"features of 224 px, RN50, {precision}"
        yield Measurement(what, "evaluation", {"precision": precision}, 6)


def _probes() -> Iterator[Measurement]:
    """The first is about where `probe_run` begins to use the GPU."""
    for images, classes, seconds in ((1_640, 10, 30), (2_000, 100, 20), (50_000, 100, 30)):
        how = {"images": images, "dim": 1024, "classes": classes, "on_core": images < 2_000}
        what = f"linear probe, 45 penalties, {images:,} images of {classes} classes, 1,024 axes"
        yield Measurement(what, "probe", how, seconds)


def _other_steps() -> Iterator[Measurement]:
    for arch in ("RN50", "ViT-B-32"):
        yield _step("clip", arch, 32, "bf16", peer=True)
        yield _step("clip", arch, 128, "fp32", peer=True)
        yield _step("clip", arch, 128, "bf16", peer=True, accumulate=4)
    yield _step("clip", "RN50", 128, "bf16", recomputed=True)  # open_clip's ResNet cannot
    yield _step("clip", "ViT-B-32", 128, "bf16", peer=True, recomputed=True)


def _failures() -> Iterator[Measurement]:
    yield Measurement("a step that does not fit into memory", "out_of_memory", {}, 12)
    yield Measurement("a device-side assert", "device_assert", {}, 8)


def _studies() -> Iterator[Measurement]:
    for per_gpu in (1, 2, 4):
        what = f"8 fine-tunings of RN50, 50 images each, {per_gpu} at once on a GPU"
        how = {"per_gpu": per_gpu, "seconds": 2 * _STUDY}
        yield Measurement(what, "finetunes_per_hour", how, _STUDY)


def _compiled() -> Iterator[Measurement]:
    yield _step("clip", "ViT-B-32", 128, "bf16", peer=True, compiled=True)
    for method in METHODS:
        yield _step(method, "RN50", 128, "bf16", compiled=True)


def _further_steps() -> Iterator[Measurement]:
    for method in ("simclr", "supervised"):
        for precision in ("tf32", "fp32"):
            yield _step(method, "RN50", 128, precision)
        yield _step(method, "RN50", 256, "bf16")
