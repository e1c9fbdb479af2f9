"""Images by number, with labels: in memory, in files, or in tar shards."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hpc_xfer.compute.images import image_file
from hpc_xfer.compute.images.decode import decode
from hpc_xfer.compute.shards.shard import Shard
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.errors import DataError

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class ImageSet(Protocol):
    """Images by number. `labels` is int64 (images,)."""

    from_files: ClassVar[bool]  # if so, an image is decoded at each call, which takes milliseconds

    @property
    def labels(self) -> Labels: ...

    def __len__(self) -> int: ...

    def image(self, i: int) -> torch.Tensor:
        """Pixels uint8 (3, height, width); the size may differ from image to image.

        Raises:
            DataError: the file is missing or cannot be decoded.
        """
        ...


@dataclass(frozen=True, eq=False)
class GrayImages:
    """Gray images in memory: uint8 (images, height, width)."""

    from_files: ClassVar[bool] = False
    labels: Labels
    pixels: Pixels

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        return torch.from_numpy(self.pixels[i]).expand(3, -1, -1).contiguous()


@dataclass(frozen=True, eq=False)
class ColorImages:
    """Color images in memory: each uint8 (3, height, width)."""

    from_files: ClassVar[bool] = False
    labels: Labels
    pixels: Pixels | Sequence[Pixels]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        return torch.from_numpy(np.array(self.pixels[i]))  # a copy that may be written to


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files, decoded at each call."""

    from_files: ClassVar[bool] = True
    labels: Labels
    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        path = self.paths[i]
        with os_errors_as_data_error(path):
            data = image_file.read(path)
        return decode(data, str(path))


@dataclass(frozen=True, eq=False)
class TarImages:
    """Images in tar shards, decoded at each call. `places` is int64 (images, 2): shard, sample."""

    from_files: ClassVar[bool] = True
    labels: Labels
    shards: Sequence[Shard]
    fields: Sequence[str]  # the field of each image: jpg, png, ...
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> torch.Tensor:
        number, sample = self.places[i].tolist()
        shard = self.shards[number]
        return decode(self.encoded(i), f"{shard.path}: {shard.keys[sample]}.{self.fields[i]}")

    def encoded(self, i: int) -> bytes:
        """The bytes of an image, as they are in the shard."""
        number, sample = self.places[i].tolist()
        data: bytes = self.shards[number].read(sample, [self.fields[i]])[self.fields[i]]
        return data


@dataclass(frozen=True, eq=False)
class DownstreamData:
    """A data set with its splits."""

    info: DatasetInfo
    train: ImageSet
    test: ImageSet
    fingerprint: str  # SHA-256 of all pixels and labels, or of all files
    val: ImageSet | None = None  # the owners' validation set
    further: Mapping[str, ImageSet] = field(default_factory=dict)  # further test sets by name
    copies: Mapping[str, int] = field(default_factory=dict)  # test_in_train: images; none is 0

    @property
    def splits(self) -> dict[str, ImageSet]:
        val = {} if self.val is None else {"val": self.val}
        return {"train": self.train, **val, "test": self.test, **self.further}


@contextlib.contextmanager
def os_errors_as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); check the file and the disk"
        ) from error
