"""The comparisons that a study allows: levels of one axis at equal other settings.

Two encoders are compared if they differ in the axis alone. Where no such pair exists for two
levels, those that differ in further settings are compared, and the row names these settings: a
method has its own augmentations, and a released encoder its own recipe. Levels that are compared
strictly already are not compared once more in this way: a at one learning rate with b at another.
"""

import itertools
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from hpc_xfer.results.answers.series import TIED_TO_SIZE, fixed_settings
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.study.labels import short_count

Key = Callable[[EncoderInfo], Hashable]
Level = Callable[[EncoderInfo], str]
LevelPairs = tuple[tuple[str, str], ...]  # each in order


@dataclass(frozen=True)
class Comparison:
    """Encoders that are compared along one axis, each with its level."""

    axis: str
    at: str  # the settings they share
    levels: tuple[tuple[EncoderInfo, str], ...]  # level: what the axis is at this encoder
    reference: EncoderInfo | None = None  # scratch: all others are compared with this one alone
    elsewhere: LevelPairs = ()  # levels that are compared more strictly elsewhere

    @property
    def encoders(self) -> list[EncoderInfo]:
        return [encoder for encoder, _ in self.levels]

    @property
    def has_range(self) -> bool:
        """True where best and worst are two levels: three or more of one encoder each."""
        levels = {level for _, level in self.levels}
        return self.reference is None and not self.elsewhere and len(levels) == len(self.levels) > 2

    def pairs(self) -> Iterator[tuple[EncoderInfo, EncoderInfo]]:
        """Yield what is compared: different levels, or everything with the reference."""
        if self.reference is not None:
            yield from ((e, self.reference) for e in self.encoders if e != self.reference)
            return
        level = dict(self.levels)
        for a, b in itertools.combinations(self.encoders, 2):
            if level[a] != level[b] and _ordered(level[a], level[b]) not in self.elsewhere:
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
        *_along("source", trained, lambda e: e.source),
        *_along("samples", trained, lambda e: _count(e.samples)),
        *_along("curation", trained, lambda e: e.curation),
        *_along("method", known, lambda e: e.method),
        *_along("arch", final, lambda e: e.arch),
        *_along("samples seen", known, lambda e: _count(e.samples_seen)),
    ]
    for name in dict.fromkeys(name for encoder in known for name, _ in encoder.settings):
        if name not in TIED_TO_SIZE:
            found += _along_setting(name, known)
    found = [replace(each, at=_shared(each, _of_method(known))) for each in found]
    return [*found, *_against_scratch(final)]


def _count(number: int | None) -> str:
    return "" if number is None else short_count(number)


# Per axis, what must be equal. Strictly: each key makes comparisons of its own.
_STRICT: dict[str, tuple[Key, ...]] = {
    "source": (lambda e: (e.method, e.arch, e.samples, e.samples_seen, e.settings),),
    "samples": (
        lambda e: (e.method, e.arch, e.source, e.epochs, fixed_settings(e)),
        lambda e: (e.method, e.arch, e.source, e.samples_seen, fixed_settings(e)),
    ),
    "curation": (
        lambda e: (e.method, e.arch, e.samples, e.settings),
        lambda e: (e.method, e.arch, e.samples_seen, e.settings),
    ),
    "method": (lambda e: (e.arch, e.source, e.samples, e.samples_seen, e.settings),),
    "arch": (lambda e: (e.method, e.source, e.samples, e.samples_seen, e.settings),),
    "samples seen": (lambda e: (e.method, e.arch, e.source, e.samples, fixed_settings(e)),),
}
# With less, for levels that have no strict comparison; the first that makes one is taken.
_LOOSE: dict[str, tuple[Key, ...]] = {
    "source": (lambda e: (e.method, e.arch, e.samples),),
    "samples": (lambda e: (e.method, e.arch, e.source),),
    "curation": (lambda e: (e.method, e.arch, e.samples), lambda e: (e.arch, e.samples)),
    "method": (
        lambda e: (e.arch, e.source, e.samples, e.samples_seen),
        lambda e: (e.arch, e.source, e.samples),
    ),
    "arch": (lambda e: (e.method, e.source, e.samples),),
}


def _along(axis: str, encoders: Sequence[EncoderInfo], level: Level) -> list[Comparison]:
    """Compare strictly, then loosely what no strict comparison has.

    Args:
        axis: its name.
        encoders: those without a level take no part.
        level: of an encoder on the axis; empty where it has none.
    """
    having = [encoder for encoder in encoders if level(encoder)]
    found = _strict(axis, having, level, _STRICT[axis])
    return _loose(axis, having, level, _loose_keys(axis, having), found)


def _strict(
    axis: str, encoders: Sequence[EncoderInfo], level: Level, keys: Sequence[Key]
) -> list[Comparison]:
    """Group by each key in turn; a group that holds an earlier one takes its place."""
    found: list[Comparison] = []
    compared: set[tuple[EncoderInfo, str]] = set()  # with the level of the other one
    for key in keys:
        new: set[tuple[EncoderInfo, str]] = set()
        for levels in _groups(encoders, level, key):
            wanted = {(a, other) for a, own in levels for _, other in levels if own != other}
            if wanted - compared:
                new |= wanted
                found = _without_parts(found, levels)
                found.append(Comparison(axis, "", levels))
        compared |= new
    return found


def _loose(
    axis: str,
    encoders: Sequence[EncoderInfo],
    level: Level,
    keys: Sequence[Key],
    found: list[Comparison],
) -> list[Comparison]:
    """Add groups with a pair of levels that no comparison within the group has.

    With one encoder per level the group takes the place of those within it. Otherwise these stay,
    and the group has the other pairs of levels alone.
    """
    for key in keys:
        for levels in _groups(encoders, level, key):
            names = [name for _, name in levels]
            wanted = set(itertools.combinations(sorted(set(names)), 2))
            at = dict(levels)
            pairs = (pair for each in found for pair in each.pairs())
            done = {_ordered(at[a], at[b]) for a, b in pairs if a in at and b in at}
            if wanted <= done:
                continue
            once = len(set(names)) == len(names)
            if once:
                found = _without_parts(found, levels)
            elsewhere = () if once else tuple(sorted(done))
            found.append(Comparison(axis, "", levels, elsewhere=elsewhere))
    return found


def _loose_keys(axis: str, encoders: Sequence[EncoderInfo]) -> tuple[Key, ...]:
    """List what must be equal at least; of methods first the settings that they could share."""
    if axis != "method":
        return _LOOSE.get(axis, ())
    values: dict[str, dict[str, set[str]]] = {}  # setting -> value -> methods
    for encoder in encoders:
        for name, value in encoder.settings:
            values.setdefault(name, {}).setdefault(value, set()).add(encoder.method)
    shared = {name for name, by in values.items() if any(len(m) > 1 for m in by.values())}

    def could_be_equal(e: EncoderInfo) -> Hashable:
        settings = tuple(pair for pair in e.settings if pair[0] in shared)
        return (e.arch, e.source, e.samples, e.samples_seen, settings)

    return could_be_equal, *_LOOSE[axis]


def _ordered(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def _groups(
    encoders: Sequence[EncoderInfo], level: Level, key: Key
) -> Iterator[tuple[tuple[EncoderInfo, str], ...]]:
    groups: dict[Hashable, list[tuple[EncoderInfo, str]]] = {}
    for encoder in encoders:
        groups.setdefault(key(encoder), []).append((encoder, level(encoder)))
    yield from map(tuple, groups.values())


def _is_part(each: Comparison, levels: Sequence[tuple[EncoderInfo, str]]) -> bool:
    return {encoder for encoder, _ in levels}.issuperset(each.encoders)


def _without_parts(
    found: Sequence[Comparison], levels: Sequence[tuple[EncoderInfo, str]]
) -> list[Comparison]:
    return [each for each in found if not _is_part(each, levels)]


def _along_setting(name: str, encoders: Sequence[EncoderInfo]) -> Iterator[Comparison]:
    def level(encoder: EncoderInfo) -> str:
        return dict(encoder.settings).get(name, "")

    def rest(e: EncoderInfo) -> Hashable:
        others = tuple(setting for setting in e.settings if setting[0] != name)
        return (e.method, e.arch, e.source, e.samples, e.samples_seen, others)

    having = [encoder for encoder in encoders if level(encoder)]
    yield from _strict(name.removeprefix("pretrain_"), having, level, (rest,))


def _against_scratch(encoders: Sequence[EncoderInfo]) -> Iterator[Comparison]:
    """Compare everything with the encoder of its architecture that was left at random."""
    for scratch in encoders:
        if scratch.method != "scratch":
            continue
        others = [e for e in encoders if e.arch == scratch.arch and e.method != "scratch"]
        if others:
            levels = (*((e, e.label) for e in others), (scratch, "scratch"))
            yield Comparison("scratch", scratch.arch, levels, scratch)


def _of_method(encoders: Sequence[EncoderInfo]) -> set[str]:
    """Name the settings that follow from the method: it has one value of each in this study."""
    values: dict[tuple[str, str], set[str]] = {}
    for encoder in encoders:
        for name, value in encoder.settings:
            values.setdefault((name, encoder.method), set()).add(value)
    return {name for name, _ in values} - {
        name for (name, _), found in values.items() if len(found) > 1
    }


def _shared(each: Comparison, of_method: Collection[str]) -> str:
    """Describe what the encoders of a comparison have in common."""
    group, words = each.encoders, []
    for name in ("method", "arch", "source", "samples", "samples_seen"):
        values = {getattr(encoder, name) for encoder in group}
        if name == each.axis or len(values) > 1 or values <= {None, ""}:
            continue
        [value] = values
        number = isinstance(value, int)
        words.append(f"{short_count(value)} {name.replace('_', ' ')}" if number else str(value))
    epochs = {encoder.epochs for encoder in group}
    if each.axis == "samples" and len(epochs) == 1 and None not in epochs:
        words.append(f"{epochs.pop():g} epochs")
    settings = set.intersection(*(set(encoder.settings) for encoder in group))
    if len({encoder.method for encoder in group}) == 1:
        settings = {pair for pair in settings if pair[0] not in of_method}
    words += [f"{name.removeprefix('pretrain_')}={value}" for name, value in sorted(settings)]
    words += ["unequal settings"] if each.elsewhere else []
    return ", ".join(words)
