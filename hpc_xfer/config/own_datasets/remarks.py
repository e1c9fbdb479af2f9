"""Sentences on what is odd about a data set of the user's own, though it can be used.

    [*remarks(info)]      # "its class names are codes (k0, k1, ...), not words: ..."

They follow from names and counts alone. The packaged data sets are as their owners made them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hpc_xfer.config.dataset_cards import CARDS
from hpc_xfer.config.downstream_datasets import PACKAGED, DatasetInfo
from hpc_xfer.config.own_datasets.stated_words import FILE
from hpc_xfer.config.own_datasets.words_or_codes import words_of

_WAY_OUT = f"name the classes with class_names in the site file, or in {FILE} beside the data"
_MOST_LABELS = 4  # that a sentence shows
_LONGEST = 24  # signs of a code that it shows
_LARGE_SHARE = 1.5  # times that of equal classes, and more than half: 75% of two classes


def remarks(info: DatasetInfo) -> Iterator[str]:
    """Yield a sentence on each thing that is odd."""
    if info.name in CARDS or info.name in PACKAGED:
        return
    if info.classes:
        yield from _on_names(info)
    if info.class_counts is not None and info.test_counts is not None:
        yield from _on_counts(info, info.class_counts, info.test_counts)


def zero_shot_refusal(info: DatasetInfo) -> str | None:
    """Say why zero-shot would measure nothing; None where it would.

    Prompts that somebody wrote for the names count as a statement: `the number {}` is for numbers.
    """
    if not info.classes or info.meaningful_names or info.prompts_stated:
        return None
    return (
        f"data set {info.name!r}: its class names are codes ({_some(info.classes)}), not words, so "
        f"zero-shot measures nothing; {_WAY_OUT}, or remove mode zeroshot"
    )


def _on_names(info: DatasetInfo) -> Iterator[str]:
    if not info.meaningful_names:
        yield (
            f"its class names are codes ({_some(info.classes)}), not words: text heads start from "
            f"zero (head: auto); {_WAY_OUT}"
        )
    elif not info.names_stated and (codes := [n for n in info.classes if not words_of(n)]):
        yield (
            f"{len(codes):,} of {len(info.classes):,} class names {_have(codes)} no word in them, "
            f"the first {codes[0]!r}: text heads start from them as they are; {_WAY_OUT}"
        )
    if groups := _same_names(info.classes):
        name, labels = groups[0]
        names = "1 class name stands" if len(groups) == 1 else f"{len(groups):,} class names stand"
        yield (
            f"{names} for more than one class, the first {name!r} for classes {_listed(labels)}: "
            "text (zero-shot, head: auto) cannot tell these apart, as prompts ignore case; "
            f"{_WAY_OUT}"
        )


def _on_counts(info: DatasetInfo, train: Sequence[int], test: Sequence[int]) -> Iterator[str]:
    absent = [info.classes[i] for i, count in enumerate(test) if not count]
    if absent:
        yield (
            f"{len(absent):,} of {len(test):,} classes {_have(absent)} no test image, the first "
            f"{absent[0]!r}: nothing is measured on them"
        )
    if single := [info.classes[i] for i, count in enumerate(train) if count == 1]:
        yield (
            f"{len(single):,} of {len(train):,} classes {_have(single)} a single training image, "
            f"the first {single[0]!r}: none of it is left for validation"
        )
    share = max(test) / max(1, sum(test))
    if share > 0.5 and share >= _LARGE_SHARE / len(test):
        largest = info.classes[test.index(max(test))]
        yield (
            f"{share:.0%} of the test images are of one class, {largest!r}: an encoder that always "
            "answers it has this top-1; compare test_per_class"
        )


def _same_names(classes: Sequence[str]) -> list[tuple[str, list[int]]]:
    """List names that a text tower reads alike, with their classes."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(classes):
        groups[" ".join(name.replace("_", " ").split()).casefold()].append(i)
    return [(classes[found[0]], found) for found in groups.values() if len(found) > 1]


def _some(classes: Sequence[str]) -> str:
    """The first two names; hashes are long."""
    first = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in classes[:2]]
    return ", ".join([*first, *(["..."] if len(classes) > 2 else [])])


def _have(found: Sequence[str]) -> str:
    return "has" if len(found) == 1 else "have"


def _listed(labels: Sequence[int]) -> str:
    shown = labels if len(labels) <= _MOST_LABELS else labels[:_MOST_LABELS]
    last = shown[-1] if shown is labels else f"{len(labels) - len(shown) + 1:,} more"
    return f"{', '.join(map(str, shown[:-1]))} and {last}"
