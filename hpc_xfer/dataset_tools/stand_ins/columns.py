"""Make the columns of a stand-in for a source, and as many samples as its selections need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.shard_index import ShardEntry, ShardIndex
from hpc_xfer.config.training_data import key_list
from hpc_xfer.config.training_data.choose import choose
from hpc_xfer.config.training_data.columns import Column, Kind, SourceColumns, text_hash
from hpc_xfer.config.training_data.selection import CLASS, KEY
from hpc_xfer.config.training_data.source_needs import SourceNeeds
from hpc_xfer.config.training_data.stand_in_values import (
    MOST_SAMPLES,
    StandInColumn,
    sample_key,
)
from hpc_xfer.errors import DataError, StudyError

if TYPE_CHECKING:  # a login node that makes no stand-ins does not need numpy
    from numpy.typing import NDArray

Arrays = dict[str, tuple[Kind, "NDArray[Any]"]]  # kind and values by name of the column


@dataclass(frozen=True)
class ColumnsInMemory(SourceColumns):
    """Columns of samples that are not written yet."""

    arrays: Mapping[str, tuple[Kind, "NDArray[Any]"]]

    def values(self, name: str) -> "NDArray[Any]":
        return self.arrays[name][1]


def json_values(needs: SourceNeeds, number: int) -> dict[str, float | str]:
    """Return what the json of a sample says in the columns of its source."""
    return {
        column.name: column.value(number)
        for column in needs.columns
        if column.name not in (KEY, CLASS, needs.label)
        and (column.name in needs.texts or not column.is_missing(number))
    }


def samples_needed(needs: SourceNeeds, classes: tuple[str, ...]) -> int:
    """Return how many samples leave each pre-training enough of what it selects.

    Raises:
        StudyError: it would take very many.
    """
    samples = needs.samples * (2 if needs.selected else 1)  # so that some are left out
    while why := _why_too_few(needs, samples, classes):
        samples *= 2
        if samples > MOST_SAMPLES:
            raise StudyError(
                f"{why}; a stand-in has at most {MOST_SAMPLES:,} samples, so rehearse on real "
                "data, without --stand-ins"
            )
    return samples


def arrays_of(needs: SourceNeeds, samples: int, classes: int) -> Arrays:
    """Make all columns, as `shards index --columns` would find them in the samples."""
    values = [json_values(needs, number) for number in range(samples)]
    return {column.name: _array(column, needs, values, classes) for column in needs.columns}


def _array(
    column: StandInColumn,
    needs: SourceNeeds,
    values: Sequence[Mapping[str, float | str]],
    classes: int,
) -> tuple[Kind, "NDArray[Any]"]:
    import numpy as np

    numbers = np.arange(len(values))
    if column.name == CLASS:
        return "class", (numbers % classes).astype("<i4")
    if column.name == needs.label:
        return "number", (numbers % classes).astype("<f8")
    if column.name == KEY:
        keys = (text_hash(sample_key(number)) for number in range(len(values)))
        return "text", np.fromiter(keys, "<u8")
    found = [each.get(column.name) for each in values]
    if column.is_number:
        return "number", np.array([np.nan if x is None else x for x in found], "<f8")
    return "text", np.array([0 if x is None else text_hash(str(x)) for x in found], "<u8")


def _why_too_few(needs: SourceNeeds, samples: int, classes: tuple[str, ...]) -> str | None:
    """Say which selection leaves too few of so many samples; None if all leave enough."""
    entry = ShardEntry("00000.tar", samples, samples, "")
    index = ShardIndex(Path("stand-in"), (entry,), (), classes)
    arrays = arrays_of(needs, samples, len(classes))
    by_name = {name: Column(name, kind, "", 0, "") for name, (kind, _) in arrays.items()}
    columns = ColumnsInMemory(index, by_name, arrays)
    for each in needs.selected:
        keys, what = each.selection.keys, f"select {each.selection.text}"
        listed = None if keys is None else key_list.hashes(keys)
        try:
            left = len(choose(columns, each.selection, each.subset_seed, listed).samples)
        except DataError as error:  # a class has too few images, or a column no numbers
            return f"{what}: {error}"
        if left < each.samples:
            return f"{what}: leaves {left:,} of {samples:,} samples, and {each.samples:,} are asked"
    return None
