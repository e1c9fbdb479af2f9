"""Check that each source has what its methods read: samples, images, captions, labels."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from hpc_xfer.config.recipes import Pretrain, Trained
from hpc_xfer.config.schema import ConfigError, nearest
from hpc_xfer.config.shard_files import listing
from hpc_xfer.config.shard_files.oddity import NO_SAMPLE, Oddity, spoiling
from hpc_xfer.config.shard_index import IMAGE_FIELDS, ShardIndex, repeated
from hpc_xfer.config.site import Site
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.errors import XferError
from hpc_xfer.study.preflight.caption_checks import (
    caption_key_errors,
    codes_in_captions,
    keys_instead,
    label_key_errors,
    labels_instead,
    unknown_caption_keys,
)
from hpc_xfer.study.preflight.selection_checks import chosen_notes, too_few_chosen
from hpc_xfer.study.study_file import Study

_FIELDS_TOLD = 10


def source_errors(
    study: Study, site: Site, known: dict[str, ShardIndex | str]
) -> Iterator[ConfigError]:
    """Check each source once, and fill `known` with its index, or with what is wrong."""
    for block, recipe in zip(study.blocks, study.pretrains, strict=True):
        if not isinstance(recipe, Trained):
            continue
        here: Loc = ("pretrain", block)
        for name in recipe.shares:
            is_new = name not in known
            if is_new:
                known[name] = _index(name, site)
            index = known[name]
            if isinstance(index, str):
                if is_new or name not in site.sources:  # one fault of the site, not one per block
                    yield (*here, "source"), index
            else:
                yield from (((*here, key), why) for key, why in _fit(recipe, name, index))
        yield from (((*here, key), why) for key, why in _fit_together(study, recipe, known))


def source_notes(study: Study, indexes: Mapping[str, ShardIndex]) -> Iterator[str]:
    """Yield a sentence on each thing in sources that is left out, or is odd.

    Args:
        indexes: of the sources of the study, by name.
    """
    for name, index in indexes.items():
        on_disk = [entry.name for entry in index.entries]
        for each in listing.unused(index.folder, on_disk, index.pattern):
            yield f"source {name!r}: {each.sentence(index.folder)}"
        if twice := repeated(index):
            yield f"source {name!r}: {twice}"
        recipes = [each for each in study.pretrains if _reads(each, name)]
        yield from dict.fromkeys(
            f"source {name!r}: {note}"
            for each in recipes
            for note in (*_notes(each, name, index), *chosen_notes(each, index))
        )


def _reads(recipe: Pretrain, name: str) -> TypeGuard[Trained]:
    return isinstance(recipe, Trained) and name in recipe.shares


def _notes(recipe: Trained, name: str, index: ShardIndex) -> Iterator[str]:
    """Yield what the index counted that concerns this recipe."""
    parts, spoiled = _parts(recipe, name), _spoiled_parts(recipe, name)
    for each in index.oddities:
        told = each.sentence(index.samples, len(index.classes or ()))
        if each.what == NO_SAMPLE:
            if "label" in parts:
                yield f"{told}; no image trains their outputs"
        elif each.spoils is None:
            yield told
        elif each.spoils in spoiled:
            yield f"{told}; training skips them"
    if unusable := _unusable(recipe, name, index):
        share = _share_of_reads(unusable, index.samples)
        stops = "; max_broken allows fewer, so that the run may stop"
        yield (
            f"at most {index.samples - unusable:,} of {index.samples:,} samples are of use to "
            f"{recipe.method}, and neighbors take the place of the others"
            f"{stops if share > recipe.max_broken else ''}"
        )
    yield from _texts_told(recipe, name, index)
    yield from codes_in_captions(recipe, name, index)


def _texts_told(recipe: Trained, name: str, index: ShardIndex) -> Iterator[str]:
    """Say how many samples have a caption under each key, if some have none."""
    counts = dict(index.texts)
    for target in recipe.targets_of(name):
        keys = target.caption_keys
        if counts and keys and max(counts.get(key, 0) for key in keys) < index.samples:
            told = ", ".join(f"{key!r} in {counts.get(key, 0):,}" for key in keys)
            yield f"the keys of captions have a text: {told} of {index.samples:,} samples"


def _parts(recipe: Trained, name: str) -> tuple[str, ...]:
    """Name the parts of a sample that a recipe needs, as oddities name them."""
    return ("image", *dict.fromkeys(target.part for target in recipe.targets_of(name)))


def _spoiled_parts(recipe: Trained, name: str) -> tuple[str, ...]:
    """Name the parts whose faults concern a recipe: `per_class` leaves samples with a class."""
    by_class = recipe.select is not None and recipe.select.per_class is not None
    return tuple(part for part in _parts(recipe, name) if part != "label" or not by_class)


def _unusable(recipe: Trained, name: str, index: ShardIndex) -> int:
    """Count the samples that this recipe has to skip for sure: one may have several faults.

    Where captions are mixed, a sample is skipped only when the kind is drawn that it lacks.
    """
    counts: dict[str, float] = {}
    targets = recipe.targets_of(name)
    drawn = sum(target.share for target in targets)
    shares = {target.part: target.share / drawn for target in targets}
    for each in spoiling(index.oddities, _spoiled_parts(recipe, name)):
        of = shares.get(str(each.spoils), 1.0)
        counts[str(each.spoils)] = counts.get(str(each.spoils), 0) + of * each.count
    texts = dict(index.texts)
    for target in targets if texts else ():
        if target.caption_keys:
            without = index.samples - sum(texts.get(key, 0) for key in target.caption_keys)
            counts[f"texts {target.caption_keys}"] = without * target.share / drawn
    return max(0, *map(int, counts.values()), 0)


def _index(name: str, site: Site) -> ShardIndex | str:
    """Load the source's index, or say what is wrong with it."""
    if not site.sources:
        return f"no site file says where source {name!r} lies; name one with --site"
    if name not in site.sources:
        parts = [part.strip() for part in name.split("+")]
        hint = nearest(name, site.sources, "the site knows")
        if len(parts) > 1 and site.sources.keys() >= set(parts):
            hint = f"for a mixture, write {{{', '.join(f'{part}: 1' for part in parts)}}}"
            return f"the site file has no source {name!r}; {hint}"
        return f"the site file has no source {name!r}; add it to `sources` there; {hint}"
    try:
        return ShardIndex.load(Path(site.sources[name]))
    except XferError as error:
        return str(error)


def _fit(recipe: Trained, name: str, index: ShardIndex) -> Iterator[tuple[str, str]]:
    """Check what a recipe takes from one source."""
    samples = recipe.samples_by_source[name]
    if samples > index.samples:
        of = "a source" if len(recipe.shares) == 1 else f"{name!r}"
        yield (
            "samples",
            f"asks for {samples:,} of {of} that has {index.samples:,}; lower it",
        )
    elif recipe.select is not None and (why := too_few_chosen(recipe, name, index)):
        yield "select", why
    if wrong_keys := list(caption_key_errors(recipe, name, index)):
        yield from wrong_keys
    elif why := _missing(recipe, name, index):
        yield "source", why
    else:
        yield from label_key_errors(recipe, name, index)


def _fit_together(
    study: Study, recipe: Trained, known: Mapping[str, ShardIndex | str]
) -> Iterator[tuple[str, str]]:
    """Check what does not depend on one source alone."""
    found = {name: known[name] for name in recipe.shares}
    indexes = {name: index for name, index in found.items() if isinstance(index, ShardIndex)}
    yield from unknown_caption_keys(recipe, indexes)
    classes = {index.classes for index in indexes.values() if index.classes}  # others are told
    if recipe.learns_labels and len(classes) > 1:
        yield (
            "source",
            f"{recipe.source_name} have different classes, which {recipe.method} cannot learn "
            "together; give them the same classes.json and index them again",
        )
    gpus, parts = study.resources.pretrain.gpus, recipe.accumulate or 1
    if recipe.batch % (gpus * parts):
        who = f"{gpus} GPUs" if parts == 1 else f"{gpus} GPUs in {parts} parts each (accumulate)"
        way = f"make it a multiple of {gpus * parts}"
        yield "batch", f"{recipe.batch} cannot be split evenly over {who}; {way}"


def _missing(recipe: Trained, name: str, index: ShardIndex) -> str | None:
    """Say which part of samples the source lacks, or has in too few of them."""
    source, way = repr(name), "add them to its shards or name another source"
    if not set(IMAGE_FIELDS).intersection(index.fields):
        there = f"its fields are {', '.join(index.fields[:_FIELDS_TOLD]) or 'none'}"
        return f"{source} has no images ({', '.join(IMAGE_FIELDS)}): {there}; {way}"
    labels = list(spoiling(index.oddities, ("label",)))
    by_label = [target for target in recipe.targets_of(name) if target.is_label]
    is_spoiled = "label" in _spoiled_parts(recipe, name)
    if labels and is_spoiled and by_label and index.label_key == by_label[0].label_key:
        return _bad_labels(recipe, name, index, labels)
    if missing := recipe.missing_from(name, index.fields, index.classes):
        way = keys_instead(recipe, name, index) or labels_instead(recipe, name, index) or way
        return f"{source} has no {missing}, which {recipe.method} needs; {way}"
    return _too_few_of_use(recipe, name, index)


def _too_few_of_use(recipe: Trained, name: str, index: ShardIndex) -> str | None:
    """Say that any subset of this size has more broken samples than the recipe allows."""
    total, unusable = index.samples, _unusable(recipe, name, index)
    samples = recipe.samples_by_source[name]
    broken = min(samples, total) - (total - unusable)  # at least
    if broken <= recipe.max_broken * samples:
        return None
    faults = spoiling(index.oddities, _spoiled_parts(recipe, name))
    worst = max(faults, key=lambda each: each.count, default=None)
    why = "" if worst is None else f" ({worst.what}: the first {worst.first})"
    share = _share_of_reads(unusable, total)
    above = math.ceil(1e3 * share) / 1e3 if share < 1 else None
    way = "or name another source" if above is None else f"or raise max_broken to {above:g} or more"
    return (
        f"{unusable:,} of {total:,} samples of {name!r} are of no use to "
        f"{recipe.method}{why}, more than max_broken {recipe.max_broken:g} allows; correct them "
        f"and run {index.command}, {way}"
    )


def _share_of_reads(unusable: int, total: int) -> float:
    """Skipped samples per sample that is trained: the next one may be of no use either."""
    return unusable / (total - unusable) if unusable < total else math.inf


def _bad_labels(recipe: Trained, name: str, index: ShardIndex, labels: Sequence[Oddity]) -> str:
    """Say that samples have no class: a network that learns classes must not guess which."""
    count = sum(each.count for each in labels)
    more = f" and {len(labels) - 1} other faults" if len(labels) > 1 else ""
    return (
        f"{count:,} of {index.samples:,} samples of {name!r} have no class, which "
        f"{recipe.method} needs here: {labels[0].what}, the first {labels[0].first}{more}; correct "
        f"them and run {index.command}, or leave them out by `select: {{per_class: ...}}`"
    )
