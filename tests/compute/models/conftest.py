"""Weights of two small models, under the names that their libraries give."""

import pytest
import torchvision

from hpc_xfer.compute.models import encoders
from tests import tiny
from tests.compute.models.state_dicts import State


@pytest.fixture(scope="module")
def clip() -> State:
    """A small CLIP model of open_clip, in the layout of today."""
    towers = encoders.build(tiny.ARCH, seed=7, with_text=True)
    assert towers.text is not None and towers.logit_scale is not None
    visual = {f"visual.{k}": v for k, v in towers.visual.state_dict().items()}
    text = {f"text.{k}": v for k, v in towers.text.state_dict().items()}
    return {**visual, **text, "logit_scale": towers.logit_scale}


@pytest.fixture(scope="module")
def resnet() -> State:
    with encoders.seeded(7):
        return torchvision.models.resnet18(num_classes=10).state_dict()
