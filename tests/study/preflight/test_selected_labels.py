"""A selection by class leaves samples with a class alone, so that others spoil nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.config import shard_index
from hpc_xfer.config.shard_files.oddity import Oddity
from hpc_xfer.config.site import Site
from hpc_xfer.config.training_data import columns
from tests.fabricated import source
from tests.study.preflight.checking import pretrain, source_notes

BLOCK = "{method: supervised, arch: RN50, source: sans, samples: 500, epochs: 1, batch: 100"
TEMPLATES = BLOCK.replace("supervised", "clip") + ", caption: {templates: ['a {}']}"
EVEN = ", select: {per_class: 300}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A source of 1,000 samples in two classes, 400 of which have no class."""
    folder = source(tmp_path / "sans", "cls jpg")
    bad = Oddity("no usable label (cls)", 400, "9 in b.tar: cls 'cat' is not", "label")
    index = replace(shard_index.parse(folder), oddities=(bad,), classes=("cat", "dog"))
    shard_index.write(index)
    classes = np.where(np.arange(1000) < 400, -1, np.arange(1000) % 2)
    columns.write(index, {"class": ("class", classes)}, check=lambda *_: None)
    return Site(sources={"sans": str(folder)})


@pytest.mark.parametrize("block", [BLOCK, TEMPLATES])
def test_samples_without_a_class_do_not_matter_to_a_selection_by_class(
    tmp_path: Path, site: Site, block: str
) -> None:
    [told] = pretrain(tmp_path, site, f"{block}}}")
    assert "400 of 1,000 samples of 'sans' have no class" in told
    assert told.endswith("or leave them out by `select: {per_class: ...}`")
    assert pretrain(tmp_path, site, f"{block}{EVEN}}}") == []
    assert source_notes(tmp_path, site, f"{block}{EVEN}}}") == [
        "source 'sans': select leaves 600 of 1,000 samples (300 per class leaves 600)"
    ]
