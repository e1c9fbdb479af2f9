"""Processes on nodes."""

import pytest

from hpc_xfer.config.resources import Resources, spread_over_nodes
from hpc_xfer.config.schema import validate


def test_minutes_have_units() -> None:
    minutes = {"pretrain": {"minutes": "24h"}, "finetune": {"minutes": {"5": "90s", "full": "2h"}}}
    plain = {"pretrain": {"minutes": 1440}, "finetune": {"minutes": {"5": 1.5, "full": 120}}}
    assert validate(Resources, minutes) == validate(Resources, plain)


@pytest.mark.parametrize(
    ("gpus", "per_node", "nodes"),
    [
        (1, 8, (1, 1)),
        (8, 8, (1, 8)),
        (16, 8, (2, 8)),
        (12, 8, (2, 6)),
        (9, 4, (3, 3)),
        (4, 1, (4, 1)),
    ],
)
def test_the_fewest_nodes_that_share_evenly(
    gpus: int, per_node: int, nodes: tuple[int, int]
) -> None:
    assert spread_over_nodes(gpus, per_node) == nodes


def test_what_cannot_be_shared_is_refused_with_what_can() -> None:
    with pytest.raises(ValueError) as refused:
        spread_over_nodes(13, 8)
    assert str(refused.value) == (
        "13 GPUs cannot be spread evenly over nodes of 8; ask for 12 or 14"
    )
