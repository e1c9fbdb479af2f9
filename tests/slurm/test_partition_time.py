"""Jobs whose minutes are estimated ask for no more than their partition gives."""

import pytest

from hpc_xfer.config.resources import PretrainResources
from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.slurm.partition_time import with_time_limit
from tests.conftest import Command

ESTIMATED, GIVEN = PretrainResources(), PretrainResources(minutes=90)
PARTITIONS = "gpu*|1-12:00:00\nlong|infinite\nshort|30:00\nbrief|2:00"


def limit_of(pretrain: PretrainResources = ESTIMATED, **slurm: object) -> int | None:
    return with_time_limit(Site(slurm=Slurm.model_validate(slurm)), pretrain).slurm.max_minutes


def test_the_limit_is_that_of_the_partition(command: Command) -> None:
    command("sinfo", f"printf '{PARTITIONS}'")
    assert limit_of() == limit_of(partition="gpu") == 36 * 60
    assert limit_of(partition="short") == 30
    assert limit_of(partition="gpu,short") == 30
    assert limit_of(partition="long") is None
    assert limit_of(partition="brief") is None  # it leaves no time to save


def test_slurm_is_not_asked_where_the_site_or_the_grid_says(command: Command) -> None:
    command("sinfo", f"printf '{PARTITIONS}'")
    assert limit_of(max_minutes=100) == 100
    assert limit_of(GIVEN) is None


@pytest.mark.parametrize("lines", ["exit 1", "echo 'odd line'", "echo 'gpu*|soon'"])
def test_an_answer_that_tells_nothing_changes_nothing(command: Command, lines: str) -> None:
    command("sinfo", lines)
    assert limit_of() is None
