"""Series: encoders that differ in the number of their samples alone."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from hpc_xfer.results.encoder_info import EncoderInfo, Settings
from hpc_xfer.study.labels import short_count

# Settings that follow the size: equal epochs see more samples of a larger source.
TIED_TO_SIZE = ("pretrain_epochs", "pretrain_samples_seen", "pretrain_warmup_steps")


@dataclass(frozen=True)
class Series:
    """Encoders of one method, architecture, source and settings, from few samples to many."""

    label: str  # without the size
    encoders: tuple[EncoderInfo, ...]  # no two of one size


def series_label(encoder: EncoderInfo) -> str:
    """Return the label without its size, and without the words for settings tied to it."""
    tied = tuple(f"{name.removeprefix('pretrain_')}=" for name in TIED_TO_SIZE)
    return " ".join(word for word in _without_size(encoder) if not word.startswith(tied))


def _without_size(encoder: EncoderInfo) -> list[str]:
    words = encoder.label.split(" ")
    if encoder.samples is not None:
        sizes = (short_count(encoder.samples), str(encoder.samples))
        found = [i for i, word in enumerate(words) if i > 0 and word in sizes]
        if found:
            del words[found[-1]]  # a source may have the name of a size; the size comes after it
    return words


def fixed_settings(encoder: EncoderInfo) -> Settings:
    """Return the settings that do not follow the size."""
    return tuple(pair for pair in encoder.settings if pair[0] not in TIED_TO_SIZE)


def all_series(encoders: Iterable[EncoderInfo]) -> list[Series]:
    """Group finished encoders, scratch left out; a series may have one encoder alone.

    Where one size was trained for longer too, encoders of equal epochs, or of equal samples seen,
    are a series: whichever makes fewer.
    """
    kept = [e for e in dict.fromkeys(encoders) if e.snapshot is None and e.method != "scratch"]
    groups = [
        sorted(group, key=lambda encoder: encoder.samples or 0)
        for same in _split(kept, _fixed)
        for group in _one_per_size(same)
    ]
    short = [_shared_label(group) for group in groups]
    return [
        Series(_longer(name, group) if short.count(name) > 1 else name, tuple(group))
        for group, name in zip(groups, short, strict=True)
    ]


def _fixed(encoder: EncoderInfo) -> object:
    # Released weights of an unknown source are of one series with nothing; so are unknown sizes.
    alone = encoder.samples is None or (encoder.method == "released" and not encoder.source)
    own = encoder.label if alone else ""
    return (
        encoder.method, encoder.arch, encoder.source, encoder.curation, fixed_settings(encoder), own
    )  # fmt: skip


def _one_per_size(group: list[EncoderInfo]) -> list[list[EncoderInfo]]:
    """Split encoders so that none has two of one size, into as few series as can be."""
    keys = (lambda _: None, _tied, lambda e: e.epochs, lambda e: e.samples_seen)
    ways = [_split(group, key) for key in keys]
    clear = [way for way in ways if not any(map(_size_twice, way))]
    return min(clear, key=len, default=_split(group, lambda encoder: encoder.label))


def _size_twice(group: Collection[EncoderInfo]) -> bool:
    return len({encoder.samples for encoder in group}) < len(group)


def _tied(encoder: EncoderInfo) -> object:
    return tuple(pair for pair in encoder.settings if pair[0] in TIED_TO_SIZE)


def _shared_label(group: Sequence[EncoderInfo]) -> str:
    """Return the longest name if it has all words of the others, else the words that all share.

    One size may name a setting that the others need no word for.
    """
    names = [series_label(encoder) for encoder in group]
    longest = max(names, key=len).split(" ")
    if all(set(name.split(" ")) <= set(longest) for name in names):
        return " ".join(longest)
    common = set.intersection(*(set(name.split(" ")) for name in names))
    return " ".join(word for word in longest if word in common) or names[0]


def _longer(name: str, group: Sequence[EncoderInfo]) -> str:
    """Tell apart series of one short name, by what all encoders of each share."""
    words = {" ".join(_without_size(encoder)) for encoder in group}
    epochs = {encoder.epochs for encoder in group}
    if len(words) > 1 and len(epochs) == 1:
        return f"{name} epochs={epochs.pop():g}"
    return min(words)


def _split(
    encoders: Iterable[EncoderInfo], key: Callable[[EncoderInfo], object]
) -> list[list[EncoderInfo]]:
    groups: dict[object, list[EncoderInfo]] = {}
    for encoder in encoders:
        groups.setdefault(key(encoder), []).append(encoder)
    return list(groups.values())
