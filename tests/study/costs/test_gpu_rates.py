"""Rates of GPUs are those of docs/cost.md, and a card is found by whatever a site calls it."""

import re

import pytest

from hpc_xfer.study.costs.gpu_rates import CARDS, GpuCard, card_of
from tests.conftest import ROOT

PAGE = ROOT / "docs/cost.md"


@pytest.mark.parametrize(
    ("name", "memory", "card"),
    [
        ("a100", None, "A100-40"),
        ("a100", 80, "A100-80"),
        ("NVIDIA A100-SXM4-80GB", None, "A100-80"),
        ("a100_40gb", None, "A100-40"),
        ("NVIDIA H100 80GB HBM3", None, "H100"),
        ("nvidia_h200", None, "H200"),
        ("GH200 480GB", None, "H100"),
        ("tesla_v100-sxm2-32gb", None, "V100-32"),
        ("rtx3090", None, "RTX 3090"),
        ("rtx_4090", None, "RTX 4090"),
        ("NVIDIA A40", None, "A40"),
        ("l40s", None, "L40S"),
        ("NVIDIA L40", None, "L40"),
        ("a30", None, "A30"),
        ("NVIDIA RTX A6000", None, "RTX A6000"),
        ("rtx_a6000", None, "RTX A6000"),
        (None, 48, "A40"),
        ("mi250x", None, "MI250X"),
        (None, 141, "H200"),
        (None, 80, "A100-80"),  # the slower of two that have so much
        (None, 24, "RTX 3090"),
    ],
)
def test_a_card_is_found_by_its_name_or_its_memory(
    name: str | None, memory: float | None, card: str
) -> None:
    found = card_of(name, memory)
    assert found is not None and found.name == card


@pytest.mark.parametrize("name", ["rtx_a4000", "a4000", "t4", "gpu", "l4", "a100000"])
def test_a_card_without_rates_is_not_taken_for_another(name: str) -> None:
    assert card_of(name) is None


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_training_reaches_a_part_of_the_peak(card: GpuCard) -> None:
    for precision in ("bf16", "fp16", "tf32", "fp32"):
        reached, peak = card.training(precision), card.peak(precision)
        assert 0 < reached.low < reached.high < 0.6 * peak
    for precision in ("tf32", "fp32"):
        assert card.training(precision).high <= 0.5 * card.training("fp16").high


def test_a_v100_has_no_tensor_cores_for_bf16() -> None:
    card = card_of("v100")
    assert card is not None
    assert card.training("bf16") == card.training("fp32")
    assert card.training("fp16").high > 3 * card.training("fp32").high


def test_the_page_has_every_rate_with_its_source() -> None:
    rows = re.findall(r"^\| ((?:V|A|H|L|RTX|MI)[^|]*?) \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    table = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}
    for card in CARDS:
        share = card.share("bf16")
        assert table[card.name] == [
            f"{card.memory:g}", f"{card.bandwidth:,.0f}", f"{card.bf16:g}", f"{card.fp16:g}",
            f"{card.tf32:g}", f"{card.fp32:g}", f"{card.fp64:g}",
            f"{100 * share.low:.0f} to {100 * share.high:.0f}%", card.sheet,
        ]  # fmt: skip
