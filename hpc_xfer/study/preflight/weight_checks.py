"""Check files of released weights before anything runs: there, whole, and for the architecture.

It reads the first bytes of each file, headers, and open_clip's config and list of tags; the tensors
are compared with the architecture where the run executes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from hpc_xfer.config.architectures import TORCHVISION, image_size
from hpc_xfer.config.recipes import PARENT, Architecture, Pretrain, Released, Trained, arch_name
from hpc_xfer.config.released import open_clip_tags
from hpc_xfer.config.released.weight_facts import (
    WeightFacts,
    check_facts,
    fact_notes,
    facts_of,
    facts_of_tag,
)
from hpc_xfer.config.released.weight_files import find_weights
from hpc_xfer.config.schema import ConfigError, closest, nearest
from hpc_xfer.config.site import Site
from hpc_xfer.errors import DataError
from hpc_xfer.study.study_file import Study


def weight_errors(study: Study, site: Site) -> Iterator[ConfigError]:
    """Check the file of each `released` and `init`; an error is told once per block."""
    told = set()
    names = block_names(study)
    yield from _of_both(study, names, site)
    for block, recipe in zip(study.blocks, study.pretrains, strict=True):
        for key, name in weights_of(recipe):
            why = _wrong_weights(name, recipe, site)
            if key == "init" and names and not _is_known(name, recipe, site):
                why = _no_block(name, names, why)
            if why is not None and (block, why) not in told:
                told.add((block, why))
                yield ("pretrain", block, key), why


def block_names(study: Study) -> dict[str, int]:
    """Map the names of `pretrain` blocks to their numbers."""
    blocks = study.document.data.get("pretrain")
    listed = enumerate(blocks if isinstance(blocks, list) else [])
    return {str(block["name"]): i for i, block in listed if "name" in block}


def _of_both(study: Study, names: Mapping[str, int], site: Site) -> Iterator[ConfigError]:
    """Refuse an `init` that names a block of the grid and weights of the site file."""
    for block in dict.fromkeys(study.blocks):
        init = study.document.data["pretrain"][block].get("init")
        for name in init if isinstance(init, list) else [init]:
            if isinstance(name, str) and name in names and site.weights(name) is not None:
                yield (
                    ("pretrain", block, "init"),
                    f"{name!r} is a block of the grid, and weights of the site file; give the "
                    "block another name",
                )


def _is_known(name: str, recipe: Pretrain, site: Site) -> bool:
    """Tell whether these are weights of the site file, or of open_clip for the architecture."""
    known = open_clip_tags.tags(recipe.arch) if isinstance(recipe.arch, str) else None
    return site.weights(name) is not None or name in (known or ())


def _no_block(name: str, names: Mapping[str, int], why: str | None) -> str | None:
    """Say so where a name of unknown weights may be meant for a block.

    Args:
        why: what is wrong with the weights; None where this is found where the run executes.
    """
    if meant := closest(name, names):
        return f"no block is called {name!r}; did you mean {meant!r}?"
    return why and f"{why}; or name a block: {', '.join(names)}"


def weight_notes(study: Study, site: Site, environment: Mapping[str, str]) -> Iterator[str]:
    """Say what neither files nor site tell of weights, once per sentence; without errors before.

    Args:
        environment: variables of the processes that will read the weights.
    """
    named = ((name, recipe) for recipe in study.pretrains for _, name in weights_of(recipe))
    notes = (note for name, recipe in named for note in _notes(name, recipe, site, environment))
    yield from dict.fromkeys(notes)


def _notes(
    name: str, recipe: Pretrain, site: Site, environment: Mapping[str, str]
) -> Iterator[str]:
    entry = site.weights(name)
    if entry is None:
        if isinstance(recipe.arch, str):
            yield from _fetch_note(recipe.arch, name, environment)
        return
    found = find_weights(Path(entry.path))
    facts, where = facts_of(entry, found), str(found.where)
    yield from fact_notes(facts, recipe.arch, where)
    yield from _size_note(facts, recipe, where)


def _fetch_note(arch: str, name: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Say where weights of open_clip have not been fetched: few nodes for jobs have a network."""
    tag = (open_clip_tags.tags(arch) or {}).get(name)
    if tag is None or not tag.repository or tag.is_fetched(environment):
        return
    yield (
        f"weights {name!r} of {arch} are not in {open_clip_tags.hub_folder(environment)}; where "
        f"jobs have no network, fetch them first: {open_clip_tags.fetch_command(arch, name)}"
    )


def _size_note(facts: WeightFacts, recipe: Pretrain, where: str) -> Iterator[str]:
    """Say where a training takes images of another size than its weights were trained with."""
    side = image_size(recipe.arch)
    if isinstance(recipe, Trained) and facts.size not in (None, side):
        yield (
            f"{where} is for images of {facts.size} pixels; a training that starts from it takes "
            f"the {side} of arch {arch_name(recipe.arch)}"
        )


def weights_of(recipe: Pretrain) -> Iterator[tuple[str, str]]:
    """Yield the key of a recipe that names weights, and their name."""
    if isinstance(recipe, Released):
        yield "weights", recipe.weights
    elif isinstance(recipe, Trained) and recipe.init not in (None, PARENT):
        assert recipe.init is not None
        yield "init", recipe.init


def _unfit_tag(arch: str, name: str, tag: open_clip_tags.Tag) -> str | None:
    """Say so where weights were trained with another activation than the architecture has."""
    try:
        check_facts(facts_of_tag({"quick_gelu": tag.quick_gelu}), arch, f"{arch} {name}")
    except DataError as error:
        return str(error)
    return None


def _wrong_weights(name: str, recipe: Pretrain, site: Site) -> str | None:
    """Say what is wrong with a file of the site, or with a tag of open_clip."""
    entry = site.weights(name)
    if entry is not None:
        try:
            found = find_weights(Path(entry.path))
            check_facts(facts_of(entry, found), recipe.arch, str(found.where))
        except DataError as error:
            return str(error)
        return None
    if isinstance(recipe.arch, Architecture) or recipe.arch in TORCHVISION:
        hint = nearest(name, site.released, "the site knows") if site.released else ""
        what = f"the site file has no weights {name!r}; add their file to `released` there"
        return f"{what}; {hint}" if hint else what
    known = open_clip_tags.tags(recipe.arch)
    if known is None:  # looked up where the run executes
        return None
    if name in known:
        return _unfit_tag(recipe.arch, name, known[name])
    meant = closest(name, site.released)
    if meant is not None:
        return f"the site file has no weights {name!r}; did you mean {meant!r}?"
    return open_clip_tags.unknown_tag(recipe.arch, name, known)
