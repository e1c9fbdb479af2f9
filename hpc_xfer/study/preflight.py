"""Check sources, data sets and released files before anything runs.

The checks are cheap: they read indexes and compare file sizes, and decode no image.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpc_xfer.config import downstream_datasets
from hpc_xfer.config.architectures import TORCHVISION
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.recipes import Architecture, Pretrain, Released, Trained
from hpc_xfer.config.resources import spread_over_nodes
from hpc_xfer.config.schema import ConfigError, nearest
from hpc_xfer.config.shard_index import ShardIndex, index_command
from hpc_xfer.config.site import Site
from hpc_xfer.config.yaml_document import Loc
from hpc_xfer.errors import StudyError, XferError
from hpc_xfer.study.study_file import Study


def check(study: Study, site: Site, on: str = "local") -> dict[str, DatasetInfo]:
    """Check a study against the site; return the info of its data sets.

    Args:
        on: where it will run, local or slurm.

    Raises:
        StudyError: one line per error, with file, line, key path and the way out.
    """
    if not study.pretrains:
        raise StudyError(
            f"{study.path}: has no pretrain block, so there is nothing to launch; bring results in "
            f"with `python -m hpc_xfer.import RESULTS.csv {shlex.quote(str(study.path))}`"
        )
    infos: dict[str, DatasetInfo | str] = {}
    errors = [*_sources(study, site), *_weights(study, site), *_datasets(study, site, infos)]
    errors += _probe(study, site)
    if on == "slurm":
        errors += _nodes(study, site)
    if errors:
        raise study.document.refusal(errors)
    return {name: info for name, info in infos.items() if isinstance(info, DatasetInfo)}


def _nodes(study: Study, site: Site) -> Iterator[ConfigError]:
    try:
        spread_over_nodes(study.resources.pretrain.gpus, site.slurm.gpus_per_node)
    except ValueError as error:
        yield ("resources", "pretrain", "gpus"), str(error)


def _sources(study: Study, site: Site) -> Iterator[ConfigError]:
    known: dict[str, ShardIndex | str] = {}
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


def _weights(study: Study, site: Site) -> Iterator[ConfigError]:
    """Check that the files of weights are there, where the site names them."""
    told = set()
    for block, recipe in zip(study.blocks, study.pretrains, strict=True):
        for key, name in _weights_of(recipe):
            why = _missing_weights(name, recipe, site)
            if why is not None and (block, why) not in told:
                told.add((block, why))
                yield ("pretrain", block, key), why


def _weights_of(recipe: Pretrain) -> Iterator[tuple[str, str]]:
    """Yield the key of a recipe that names weights, and their name."""
    if isinstance(recipe, Released):
        yield "weights", recipe.weights
    elif isinstance(recipe, Trained) and recipe.init is not None:
        yield "init", recipe.init


def _missing_weights(name: str, recipe: Pretrain, site: Site) -> str | None:
    """Say what is wrong; tags of open_clip are looked up where the run executes."""
    file = site.released.get(name)
    if file is not None:
        wrong = f"{file}: no such file; correct `released` in the site file"
        return None if Path(file).is_file() else wrong
    if isinstance(recipe.arch, Architecture) or recipe.arch in TORCHVISION:
        hint = nearest(name, site.released, "the site knows") if site.released else ""
        what = f"the site file has no weights {name!r}; add their file to `released` there"
        return f"{what}; {hint}" if hint else what
    return None


def _datasets(
    study: Study, site: Site, infos: dict[str, DatasetInfo | str]
) -> Iterator[ConfigError]:
    """Check data sets and shots, and fill `infos`: a large folder is listed once."""
    for here, block in _blocks(study):
        for i, name in enumerate(block["datasets"]):
            if name not in infos:
                infos[name] = info = _info(name, site)
                if isinstance(info, str):  # reported once for all blocks
                    yield (*here, "datasets", i), info


def _probe(study: Study, site: Site) -> Iterator[ConfigError]:
    probe = study.resources.pretrain.probe
    if probe is not None and isinstance(error := _info(probe.dataset, site), str):
        yield ("resources", "pretrain", "probe", "dataset"), error


def _blocks(study: Study) -> list[tuple[Loc, dict[str, Any]]]:
    """List the blocks of `finetune` with their key paths."""
    blocks = study.document.data.get("finetune", [])
    if isinstance(blocks, dict):
        return [(("finetune",), blocks)]
    return [(("finetune", i), block) for i, block in enumerate(blocks or [])]


def _info(name: str, site: Site) -> DatasetInfo | str:
    """Return the info of a data set, or say what is wrong with it."""
    try:
        info = downstream_datasets.dataset_info(name, site.dataset(name))
    except XferError as error:
        return str(error)
    if len(info.classes) == 1:
        return f"{name} has one class, {info.classes[0]!r}; add another or name another data set"
    return info
