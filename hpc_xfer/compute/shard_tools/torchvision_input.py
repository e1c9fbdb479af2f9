"""torchvision's data sets as input, by the name of the class: `torchvision:CIFAR10`."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision import datasets

from hpc_xfer.compute.images.decode import damage_told
from hpc_xfer.compute.shard_tools.inputs import FileReader, FileRow, Sample
from hpc_xfer.compute.shard_tools.reencode import Reencoding, png
from hpc_xfer.errors import DataError, StudyError


@dataclass(frozen=True)
class TorchvisionSet:
    """A part of a data set that lies, downloaded, in `root`."""

    name: str
    root: Path
    split: str = "train"
    reencoding: Reencoding | None = None

    @property
    def classes(self) -> tuple[str, ...] | None:
        names = getattr(open_dataset(self.name, self.root, self.split), "classes", None)
        return None if names is None else tuple(map(_class_name, names))

    @property
    def identity(self) -> dict[str, object]:
        return {"torchvision": self.name, "split": self.split, "samples": len(self)}

    @property
    def reader(self) -> Callable[[Any], Sample]:
        if self._files is None:
            return PixelReader(self)
        return FileReader(self.classes is not None, labels=True, reencoding=self.reencoding)

    def __len__(self) -> int:
        return len(open_dataset(self.name, self.root, self.split))

    def rows(self, positions: Sequence[int]) -> list[Any]:
        if self._files is None:
            return list(positions)
        names = self.classes or ()
        found = (self._files[i] for i in positions)
        return [FileRow(path, names[label], label) for path, label in found]

    @property
    def _files(self) -> list[tuple[str, int]] | None:
        """Path and class of each, where they are files: these are packed as they are."""
        data = open_dataset(self.name, self.root, self.split)
        return data.samples if isinstance(data, datasets.DatasetFolder) else None


@dataclass(frozen=True)
class PixelReader:
    """Reads sample `i`; lossless PNGs unless re-encoding is asked."""

    data: TorchvisionSet

    def __call__(self, i: int) -> Sample:
        """Raises:
        DataError: the sample cannot be read, or is not an image with a class number.
        """
        here = f"{self.data.name}[{i}]"
        there = open_dataset(self.data.name, self.data.root, self.data.split)
        with damage_told(here):
            image, label = there[i]
            if isinstance(image, Image.Image):
                with image:  # some sets only open its file
                    image.load()
        if not isinstance(image, Image.Image) or not _is_number(label):
            raise DataError(f"{here}: is not an image with a class number; pack another data set")
        sample = {"cls": str(int(label)).encode()}
        if names := self.data.classes:
            sample["txt"] = names[int(label)].encode()
        small = self.data.reencoding
        return {
            **({"png": png(image)} if small is None else {"jpg": small.encode(image)}),
            **sample,
        }


@lru_cache(maxsize=1)
def open_dataset(name: str, root: Path, split: str) -> Any:
    """The data set, once per process.

    Raises:
        StudyError: torchvision has no such class, or it takes more than a folder and a split.
        DataError: it is not in `root`.
    """
    kind = getattr(datasets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, datasets.VisionDataset)):
        raise StudyError(f"torchvision:{name}: torchvision has no such data set; correct the name")
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {"root": root} if "root" in known else {}
    if "split" in known:
        options["split"] = split
    elif "train" in known:
        options["train"] = split == "train"
    try:
        return kind(**options)
    except TypeError as error:
        raise StudyError(f"torchvision:{name}: needs more than a folder ({error})") from error
    except (OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise DataError(
            f"torchvision:{name}: cannot be opened in {root} ({why}); download it there, on a node "
            "with a network, or correct --root and --split"
        ) from error


def _class_name(name: Any) -> str:
    """ImageNet's are tuples of synonyms, the usual one first."""
    return str(name[0] if isinstance(name, tuple) else name)


def _is_number(label: Any) -> bool:
    try:
        return bool(int(label) == label and label >= 0)
    except (TypeError, ValueError, RuntimeError):
        return False
