"""The settings of the paper's protocol."""

import subprocess
import sys

from hpc_xfer.config import protocols
from hpc_xfer.config.recipes import Crop
from hpc_xfer.config.schema import validate


def test_its_crops_are_crops() -> None:
    crop, wrong = validate(Crop, protocols.PAPER_SETTINGS["crop"])
    assert crop == Crop(scale=(0.08, 1.0)) and not wrong


def test_it_chooses_on_the_test_set_and_differs_where_the_paper_does() -> None:
    settings = protocols.PAPER_SETTINGS
    assert settings["select"] == "test"
    assert settings["decay_all"] and not settings["warmup_cap"]
    assert "lp" not in protocols.PAPER_MODES  # the paper's probes were trained on test features


def test_it_is_plain_data() -> None:
    block = "import sys; sys.modules['torch'] = None; import hpc_xfer.config.protocols"
    subprocess.run([sys.executable, "-c", block], check=True)
