"""Check that each source has what its methods read: samples, images, captions, labels."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.schema import ConfigError, nearest
from hpc_xfer.config.shard_index import ShardIndex, index_command
from hpc_xfer.config.site import Site
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.errors import XferError
from hpc_xfer.study.study_file import Study


def source_errors(
    study: Study, site: Site, known: dict[str, ShardIndex | str]
) -> Iterator[ConfigError]:
    """Check each source once, and fill `known` with its index, or with what is wrong."""
    for block, recipe in zip(study.blocks, study.pretrains, strict=True):
        if not isinstance(recipe, Trained):
            continue
        here: Loc = ("pretrain", block)
        if recipe.source not in known:
            known[recipe.source] = _index(recipe.source, site)
        index = known[recipe.source]
        if isinstance(index, str):
            yield (*here, "source"), index
            continue
        yield from (((*here, key), why) for key, why in _fit(study, recipe, index))


def source_notes(study: Study, indexes: Sequence[ShardIndex]) -> Iterator[str]:
    """Yield a sentence on each thing in the folders of sources that is left out, or is odd."""
    yield from ()


def _index(name: str, site: Site) -> ShardIndex | str:
    """Load the source's index, or say what is wrong with it."""
    if not site.sources:
        return f"no site file says where source {name!r} lies; name one with --site"
    if name not in site.sources:
        hint = nearest(name, site.sources, "the site knows")
        return f"the site file has no source {name!r}; add it to `sources` there; {hint}"
    try:
        return ShardIndex.load(Path(site.sources[name]))
    except XferError as error:
        return str(error)


def _fit(study: Study, recipe: Trained, index: ShardIndex) -> Iterator[tuple[str, str]]:
    if recipe.samples > index.samples:
        yield (
            "samples",
            f"asks for {recipe.samples:,} of a source that has {index.samples:,}; lower it",
        )
    if missing := recipe.missing_from(index.fields, index.classes):
        what = f"{recipe.source!r} has no {missing}, which {recipe.method} needs"
        yield "source", f"{what}; add them to its shards or name another source"
    else:
        yield from _json_keys(recipe, index)
    gpus, parts = study.resources.pretrain.gpus, recipe.accumulate or 1
    if recipe.batch % (gpus * parts):
        who = f"{gpus} GPUs" if parts == 1 else f"{gpus} GPUs in {parts} parts each (accumulate)"
        way = f"make it a multiple of {gpus * parts}"
        yield "batch", f"{recipe.batch} cannot be split evenly over {who}; {way}"


def _json_keys(recipe: Trained, index: ShardIndex) -> Iterator[tuple[str, str]]:
    """Check the keys that the recipe reads in the json of samples."""
    target = recipe.target
    if target is None:
        return
    keys = set(target.caption_keys)
    if keys and index.json_keys and not keys.intersection(index.json_keys):
        there = ", ".join(index.json_keys)
        what = f"none of these keys is in the json of {recipe.source!r}"
        yield "caption", f"{what}; name some of: {there}"
    if target.label_key is not None and index.classes and index.label_key != target.label_key:
        yield (
            "label",
            f"the index of {recipe.source!r} does not take its classes from the json key "
            f"{target.label_key!r}; run {index_command(index.folder)} with --label-key "
            f"{shlex.quote(target.label_key)}",
        )
