"""Series: encoders that differ in the number of their samples alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hpc_xfer.results.encoder_info import EncoderInfo, Settings
from hpc_xfer.study.labels import short_count

# Settings that follow the size: equal epochs see more samples of a larger source.
_TIED = ("pretrain_epochs", "pretrain_samples_seen")


@dataclass(frozen=True)
class Series:
    """Encoders of one method, architecture, source and settings, from few samples to many."""

    label: str  # without the size
    encoders: tuple[EncoderInfo, ...]  # no two of one size


def series_label(encoder: EncoderInfo) -> str:
    """Return the label without its size, and without the words for settings tied to it."""
    tied = tuple(f"{name.removeprefix('pretrain_')}=" for name in _TIED)
    words = [word for word in encoder.label.split(" ") if not word.startswith(tied)]
    if encoder.samples is not None:
        sizes = (short_count(encoder.samples), str(encoder.samples))
        found = [i for i, word in enumerate(words) if i > 0 and word in sizes]
        if found:
            del words[found[-1]]  # a source may have the name of a size; the size comes after it
    return " ".join(words)


def fixed_settings(encoder: EncoderInfo) -> Settings:
    """Return the settings that do not follow the size."""
    return tuple(pair for pair in encoder.settings if pair[0] not in _TIED)


def all_series(encoders: Iterable[EncoderInfo]) -> list[Series]:
    """Group finished encoders, scratch left out; a series may have one encoder alone.

    Encoders of one size that differ in settings tied to the size, or in their label, go apart.
    """
    kept = [e for e in dict.fromkeys(encoders) if e.snapshot is None and e.method != "scratch"]
    series = []
    for group in _split(kept, _fixed):
        for part in _apart(group, _tied):
            series += _apart(part, series_label)
    return [Series(_label(group), tuple(sorted(group, key=_size))) for group in series]


def _fixed(encoder: EncoderInfo) -> object:
    # Released weights of an unknown source are of one series with nothing; so are unknown sizes.
    alone = encoder.samples is None or (encoder.method == "released" and not encoder.source)
    own = encoder.label if alone else ""
    return (
        encoder.method,
        encoder.arch,
        encoder.source,
        encoder.curation,
        fixed_settings(encoder),
        own,
    )


def _tied(encoder: EncoderInfo) -> object:
    return tuple(pair for pair in encoder.settings if pair[0] in _TIED)


def _apart(
    group: list[EncoderInfo], key: Callable[[EncoderInfo], object]
) -> list[list[EncoderInfo]]:
    """Split the group if it has a size twice."""
    twice = len({encoder.samples for encoder in group}) < len(group)
    return _split(group, key) if twice else [group]


def _split(
    encoders: Iterable[EncoderInfo], key: Callable[[EncoderInfo], object]
) -> list[list[EncoderInfo]]:
    groups: dict[object, list[EncoderInfo]] = {}
    for encoder in encoders:
        groups.setdefault(key(encoder), []).append(encoder)
    return list(groups.values())


def _size(encoder: EncoderInfo) -> int:
    return encoder.samples or 0


def _label(group: list[EncoderInfo]) -> str:
    """The longest name: one size may name a setting that the others need no word for."""
    if len(group) == 1 and group[0].samples is None:
        return group[0].label
    return max((series_label(encoder) for encoder in sorted(group, key=_size)), key=len)
