"""A key that stands in a sentence of a page, such as `minutes: 20`, is one of grid or site file."""

import re

import pytest

from hpc_xfer.config.resources import FinetuneResources, PretrainResources
from hpc_xfer.config.site import RelayPlace, Site, Slurm
from hpc_xfer.config.training_data.captions import CaptionPlace
from hpc_xfer.config.training_data.selection import SampleSelection
from hpc_xfer.study.grid_blocks.block_keys import all_keys
from tests import pages

MODELS = (
    Site, Slurm, RelayPlace, PretrainResources, FinetuneResources, CaptionPlace, SampleSelection,
)  # fmt: skip
KEYS = {
    *(key for model in MODELS for key in model.model_fields),
    *all_keys("pretrain"), *all_keys("finetune"),
    "name", "question", "defaults", "pretrain", "finetune", "resources", "protocol", "choose",
    "facts", "set",
}  # fmt: skip
OUTPUTS = {"short", "held", "report"}  # begin lines that commands print, ours and those of others


def keys_in_sentences(text: str) -> set[str]:
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([a-z]\w*): [^`]+`", text)) - OUTPUTS


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_key_in_a_sentence_is_one_of_grid_or_site_file(page: str) -> None:
    assert keys_in_sentences(pages.text_of(page)) - KEYS == set()


def test_a_key_that_does_not_exist_is_found() -> None:
    assert keys_in_sentences("write `minuts: 20`, or `lr: 1`.\n") - KEYS == {"minuts"}
