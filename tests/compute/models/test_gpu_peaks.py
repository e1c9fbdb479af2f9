"""The peaks that an MFU is measured against are those that estimates of costs are made with."""

import pytest

from hpc_xfer.compute.models import flops
from hpc_xfer.study.costs.gpu_rates import CARDS, GpuCard

BOTH = [card for card in CARDS if flops.peak(card.name.partition("-")[0], "fp32") is not None]


@pytest.mark.parametrize("card", BOTH, ids=lambda card: card.name)
def test_both_tables_have_the_same_peaks(card: GpuCard) -> None:
    name = card.name.partition("-")[0]
    assert flops.peak(name, "fp16") == card.peak("fp16")
    assert flops.peak(name, "fp32") == card.peak("fp32")
