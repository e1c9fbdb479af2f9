"""What can be known to be wrong before anything runs: sources, data sets, shots, released files.

All of it is cheap: indices are read and file sizes compared, no image is decoded.
"""

from collections.abc import Iterator
from pathlib import Path

from hpc_xfer import catalog
from hpc_xfer.document import Loc
from hpc_xfer.errors import StudyError, XferError
from hpc_xfer.nouns import Mistake, nearest
from hpc_xfer.recipes import Finetune, Released, Supervised, Trained
from hpc_xfer.shard_index import ShardIndex
from hpc_xfer.site import Site
from hpc_xfer.study import Study


def check(study: Study, site: Site) -> None:
    """Raises:
    StudyError: one line per mistake, with file, line, key path and the way out.
    """
    mistakes = [*_sources(study, site), *_released(study, site), *_datasets(study, site)]
    if mistakes:
        lines = dict.fromkeys(study.document.error(loc, why) for loc, why in mistakes)
        raise StudyError("\n".join(lines))


def _sources(study: Study, site: Site) -> Iterator[Mistake]:
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
    """The source's index, or what is wrong with it."""
    if name not in site.sources:
        hint = nearest(name, site.sources, "the site knows") if site.sources else ""
        return f"the site file has no source {name!r}; add it to `sources` there. {hint}".rstrip()
    try:
        return ShardIndex.load(Path(site.sources[name]))
    except XferError as error:
        return str(error)


def _fit(study: Study, recipe: Trained, index: ShardIndex) -> Iterator[tuple[str, str]]:
    if recipe.samples > index.samples:
        yield "samples", f"asks {recipe.samples:,} of a source that has {index.samples:,}; lower it"
    if isinstance(recipe, Supervised) and not index.classes:
        yield "source", f"{recipe.source!r} has no labels (cls), which supervised needs"
    if "txt" not in index.fields and recipe.model_fields.get("max_logit_scale"):
        yield "source", f"{recipe.source!r} has no captions (txt), which clip needs"
    gpus = study.resources.pretrain.gpus
    if recipe.batch % gpus:
        yield "batch", f"{recipe.batch} cannot be shared by {gpus} GPUs; make it a multiple"


def _released(study: Study, site: Site) -> Iterator[Mistake]:
    for block, recipe in zip(study.blocks, study.pretrains, strict=True):
        if not isinstance(recipe, Released):
            continue
        file = site.released.get(recipe.weights)
        if file is not None and not Path(file).is_file():
            yield (
                ("pretrain", block, "weights"),
                f"{file}: no such file; fix `released` in the site",
            )


def _datasets(study: Study, site: Site) -> Iterator[Mistake]:
    names = list(dict.fromkeys(trial.dataset for trial in study.trials))
    for name in names:
        folder = site.datasets.get(name)
        try:
            card = catalog.card(name, Path(folder) if folder else None)
        except XferError as error:
            yield _place(study, name, ("datasets",)), str(error)
            continue
        trials = [trial for trial in study.trials if trial.dataset == name]
        yield from _shots(study, trials, card.smallest_class, name)


def _place(study: Study, dataset: str, key: Loc) -> Loc:
    """Where a data set stands in the file: `finetune` is one block or a list of them."""
    blocks = study.document.data["finetune"]
    if isinstance(blocks, dict):
        return ("finetune", *key)
    number = next(i for i, block in enumerate(blocks) if dataset in block["datasets"])
    return ("finetune", number, *key)


def _shots(study: Study, trials: list[Finetune], smallest: int, name: str) -> Iterator[Mistake]:
    held = max(1, round(trials[0].val_fraction * smallest))
    left = smallest - held
    for shots in dict.fromkeys(trial.shots for trial in trials):
        if isinstance(shots, int) and shots > left:
            yield (
                _place(study, name, ("shots",)),
                f"{shots} is more than the smallest class of {name} can give: {left} images beside "
                f"{held} for validation; lower shots or val_fraction",
            )
