"""The comparisons that a study allows: levels of one axis at equal other settings.

Two encoders are compared if they differ in the axis alone. Where no such pair exists for two
levels, those that differ in further settings are compared, and the row names these settings: a
method has its own augmentations, and a released encoder its own recipe.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from hpc_xfer.results.answers.series import TIED_TO_SIZE, fixed_settings
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.study.labels import short_count

Key = Callable[[EncoderInfo], Hashable]


@dataclass(frozen=True)
class Comparison:
    """Encoders that are compared along one axis, each with its level."""

    axis: str
    at: str  # the settings they share
    levels: tuple[tuple[EncoderInfo, str], ...]  # level: what the axis is at this encoder
    reference: EncoderInfo | None = None  # scratch: all others are compared with this one alone

    @property
    def encoders(self) -> list[EncoderInfo]:
        return [encoder for encoder, _ in self.levels]

    def pairs(self) -> Iterator[tuple[EncoderInfo, EncoderInfo]]:
        """Yield what is compared: different levels, or everything with the reference."""
        if self.reference is not None:
            yield from ((e, self.reference) for e in self.encoders if e != self.reference)
            return
        level = dict(self.levels)
        for a, b in itertools.combinations(self.encoders, 2):
            if level[a] != level[b]:
                yield a, b

    def differs(self, a: EncoderInfo, b: EncoderInfo) -> str:
        """Name the settings, besides the axis, in which two encoders differ."""
        names = [
            name
            for name in ("method", "arch", "source", "samples", "samples_seen")
            if name not in _IMPLIED.get(self.axis, (self.axis,))
            and getattr(a, name) != getattr(b, name)
        ]
        mine, theirs = dict(a.settings), dict(b.settings)
        both = [name for name in mine if name in theirs and mine[name] != theirs[name]]
        implied = _IMPLIED.get(self.axis, (f"pretrain_{self.axis}",))
        return ", ".join(
            [
                *(name.replace("_", " ") for name in names),
                *(name.removeprefix("pretrain_") for name in both if name not in implied),
            ]
        )


# What differs by itself where an axis differs.
_IMPLIED: dict[str, tuple[str, ...]] = {
    "source": ("source",),
    "samples": ("samples", "samples_seen", *TIED_TO_SIZE),
    "method": ("method",),
    "curation": ("source",),
    "arch": ("arch",),
    "scratch": ("method", "source", "samples", "samples_seen", *TIED_TO_SIZE),
    "samples seen": ("samples_seen", *TIED_TO_SIZE),
}  # fmt: skip


def comparisons(encoders: Sequence[EncoderInfo]) -> list[Comparison]:
    """List all comparisons among finished pre-trainings, in the order of the paper's questions.

    Args:
        encoders: of a study; snapshots and encoders of unknown method are left out.
    """
    final = [encoder for encoder in encoders if encoder.snapshot is None]
    trained = [encoder for encoder in final if encoder.method != "scratch"]
    known = [encoder for encoder in trained if encoder.method != "released"]
    found = [
        *_along("source", [e for e in trained if e.source], _source, _SOURCE_KEYS),
        *_along("samples", [e for e in trained if e.samples], _samples, _SAMPLES_KEYS),
        *_along("curation", [e for e in trained if e.curation], _curation, _CURATION_KEYS),
        *_along("method", known, _method, _METHOD_KEYS),
        *_along("arch", final, _arch, _ARCH_KEYS),
        *_along("samples seen", known, _samples_seen, _SEEN_KEYS),
    ]
    for name in dict.fromkeys(name for encoder in known for name, _ in encoder.settings):
        if name not in TIED_TO_SIZE:
            found += _along_setting(name, known)
    return [*found, *_against_scratch(final)]


def _source(encoder: EncoderInfo) -> str:
    return encoder.source


def _samples(encoder: EncoderInfo) -> str:
    return short_count(encoder.samples or 0)


def _curation(encoder: EncoderInfo) -> str:
    return encoder.curation


def _method(encoder: EncoderInfo) -> str:
    return encoder.method


def _arch(encoder: EncoderInfo) -> str:
    return encoder.arch


def _samples_seen(encoder: EncoderInfo) -> str:
    return "" if encoder.samples_seen is None else short_count(encoder.samples_seen)


def _epochs(encoder: EncoderInfo) -> float | None:
    if not encoder.samples or encoder.samples_seen is None:
        return None
    return round(encoder.samples_seen / encoder.samples, 3)


# Per axis, what must be equal: strictly first, then with less.
_SOURCE_KEYS: tuple[Key, ...] = (
    lambda e: (e.method, e.arch, e.samples, e.samples_seen, e.settings),
    lambda e: (e.method, e.arch, e.samples),
)
_SAMPLES_KEYS: tuple[Key, ...] = (
    lambda e: (e.method, e.arch, e.source, _epochs(e), fixed_settings(e)),
    lambda e: (e.method, e.arch, e.source, e.samples_seen, fixed_settings(e)),
    lambda e: (e.method, e.arch, e.source),
)
_CURATION_KEYS: tuple[Key, ...] = (
    lambda e: (e.method, e.arch, e.samples, e.settings),
    lambda e: (e.method, e.arch, e.samples_seen, e.settings),
    lambda e: (e.method, e.arch, e.samples),
    lambda e: (e.arch, e.samples),
)
_METHOD_KEYS: tuple[Key, ...] = (
    lambda e: (e.arch, e.source, e.samples, e.samples_seen, e.settings),
    lambda e: (e.arch, e.source, e.samples, e.samples_seen),
    lambda e: (e.arch, e.source, e.samples),
)
_ARCH_KEYS: tuple[Key, ...] = (
    lambda e: (e.method, e.source, e.samples, e.samples_seen, e.settings),
    lambda e: (e.method, e.source, e.samples),
)
_SEEN_KEYS: tuple[Key, ...] = (
    lambda e: (e.method, e.arch, e.source, e.samples, fixed_settings(e)),
)


def _along(
    axis: str,
    encoders: Sequence[EncoderInfo],
    level: Callable[[EncoderInfo], str],
    keys: Sequence[Key],
) -> list[Comparison]:
    """Group by each key in turn; a looser group is used where it has a pair not compared yet."""
    found: list[Comparison] = []
    compared: set[tuple[EncoderInfo, str]] = set()  # with the level of the other one
    for key in keys:
        groups: dict[Hashable, list[EncoderInfo]] = {}
        for encoder in encoders:
            groups.setdefault(key(encoder), []).append(encoder)
        new: set[tuple[EncoderInfo, str]] = set()
        for group in groups.values():
            levels = tuple((encoder, level(encoder)) for encoder in group if level(encoder))
            wanted = {(a, other) for a, own in levels for _, other in levels if own != other}
            if wanted - compared:
                new |= wanted
                members = {encoder for encoder, _ in levels}
                found = [each for each in found if not members.issuperset(each.encoders)]
                found.append(Comparison(axis, _shared([e for e, _ in levels], axis), levels))
        compared |= new
    return found


def _along_setting(name: str, encoders: Sequence[EncoderInfo]) -> Iterator[Comparison]:
    def level(encoder: EncoderInfo) -> str:
        return dict(encoder.settings).get(name, "")

    def rest(e: EncoderInfo) -> Hashable:
        others = tuple(setting for setting in e.settings if setting[0] != name)
        return (e.method, e.arch, e.source, e.samples, e.samples_seen, others)

    having = [encoder for encoder in encoders if level(encoder)]
    yield from _along(name.removeprefix("pretrain_"), having, level, (rest,))


def _against_scratch(encoders: Sequence[EncoderInfo]) -> Iterator[Comparison]:
    """Everything with the encoder of its architecture that was left at random."""
    for scratch in encoders:
        if scratch.method != "scratch":
            continue
        others = [e for e in encoders if e.arch == scratch.arch and e.method != "scratch"]
        if others:
            levels = (*((e, e.label) for e in others), (scratch, "scratch"))
            yield Comparison("scratch", scratch.arch, levels, scratch)


def _shared(group: Sequence[EncoderInfo], axis: str) -> str:
    """Describe what the encoders of a comparison have in common."""
    words = []
    for name in ("method", "arch", "source", "samples", "samples_seen"):
        values = {getattr(encoder, name) for encoder in group}
        if name == axis or len(values) > 1 or values <= {None, ""}:
            continue
        [value] = values
        number = isinstance(value, int)
        words.append(f"{short_count(value)} {name.replace('_', ' ')}" if number else str(value))
    epochs = {_epochs(encoder) for encoder in group}
    if axis == "samples" and len(epochs) == 1 and None not in epochs:
        words.append(f"{epochs.pop():g} epochs")
    settings = set.intersection(*(set(encoder.settings) for encoder in group))
    words += [f"{name.removeprefix('pretrain_')}={value}" for name, value in sorted(settings)]
    return ", ".join(words)
