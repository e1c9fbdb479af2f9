"""Load a data set of the user's own by its name and its place."""

import pytest

from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.downstream.datasets import DownstreamData
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import dataset_info
from hpc_xfer.errors import DataError


def load(name: str, place: Location) -> DownstreamData:
    return datasets.load(dataset_info(name, place), place)


def refusal(name: str, place: Location) -> str:
    with pytest.raises(DataError) as caught:
        load(name, place)
    return str(caught.value).replace(f"{place.path}/", "")
