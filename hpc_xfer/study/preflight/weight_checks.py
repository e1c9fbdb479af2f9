"""Check that the files of released weights are there, where the site names them."""

from collections.abc import Iterator
from pathlib import Path

from hpc_xfer.config.architectures import TORCHVISION
from hpc_xfer.config.recipes import Architecture, Pretrain, Released, Trained
from hpc_xfer.config.schema import ConfigError, nearest
from hpc_xfer.config.site import Site
from hpc_xfer.study.study_file import Study


def weight_errors(study: Study, site: Site) -> Iterator[ConfigError]:
    """Check the file of each `released` and `init`; an error is told once per block."""
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
