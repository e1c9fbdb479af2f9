"""A data set of torchvision as input, named by its class: `torchvision:CIFAR10`."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision import datasets

from hpc_xfer.compute.images.decode import forget_other_formats, pillow_errors_as_data_error
from hpc_xfer.compute.shard_tools.inputs import FileReader, FileRow
from hpc_xfer.compute.shard_tools.reencode import Reencoding, png
from hpc_xfer.compute.shards.shard import Sample
from hpc_xfer.config.dataset_forms import split_names
from hpc_xfer.errors import DataError, StudyError


@dataclass(frozen=True)
class TorchvisionSet:
    """One split of a data set that was downloaded to `root`."""

    name: str
    root: Path
    split: str = "train"
    reencoding: Reencoding | None = None

    @property
    def classes(self) -> tuple[str, ...] | None:
        names = getattr(open_dataset(self.name, self.root, self.split), "classes", None)
        return None if names is None else tuple(map(_class_name, names))

    @property
    def notes(self) -> tuple[str, ...]:
        kind = getattr(datasets, self.name)
        if _split_options(kind, self.split) or issubclass(kind, datasets.FakeData):
            return ()
        return (f"{self.name} has no splits: all of its images are packed",)

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
        """Path and class of each sample where the data set is made of files, else None."""
        data = open_dataset(self.name, self.root, self.split)
        return data.samples if isinstance(data, datasets.DatasetFolder) else None


@dataclass(frozen=True)
class PixelReader:
    """Reads a sample as a lossless PNG, or re-encoded if requested."""

    data: TorchvisionSet

    def __call__(self, i: int) -> Sample:
        """Make sample `i`.

        Raises:
            DataError: it cannot be read, or is not an image with a class number.
        """
        name = f"{self.data.name}[{i}]"
        dataset = open_dataset(self.data.name, self.data.root, self.data.split)
        with pillow_errors_as_data_error(name):
            image, label = dataset[i]
            if isinstance(image, Image.Image):
                with image:  # some data sets only open the file
                    image.load()
        if not isinstance(image, Image.Image) or not _is_number(label):
            raise DataError(f"{name}: is not an image with a class number; pack another data set")
        sample = {"cls": str(int(label)).encode()}
        if names := self.data.classes:
            if label >= len(names):
                raise DataError(f"{name}: is of class {int(label)}, but {len(names)} are named")
            sample["txt"] = names[int(label)].encode()
        small = self.data.reencoding
        return {
            **({"png": png(image)} if small is None else {"jpg": small.encode(image)}),
            **sample,
        }


@lru_cache(maxsize=1)
def open_dataset(name: str, root: Path, split: str) -> Any:
    """Open a data set, once per process.

    Raises:
        StudyError: torchvision has no such class, or it needs more than a folder and a split.
        DataError: it is absent from `root`, or a package that it needs is, or its classes are
            splits.
    """
    forget_other_formats()
    kind = getattr(datasets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, datasets.VisionDataset)):
        raise StudyError(f"torchvision:{name}: torchvision has no such data set; correct the name")
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {"root": root} if "root" in known else {}
    try:
        found = kind(**options, **_split_options(kind, split))
    except TypeError as error:
        raise StudyError(
            f"torchvision:{name}: needs more than a folder ({error}); pack another data set"
        ) from error
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise DataError(
            f"torchvision:{name}: cannot be opened in {root} ({why}); download it there, on a node "
            "with a network, or correct --root and --split"
        ) from error
    if isinstance(found, datasets.ImageFolder) and "split" not in known:
        split_names.check_no_splits(root, found.classes)
    return found


def _split_options(kind: Any, split: str) -> dict[str, object]:
    """Return the arguments that choose a split.

    Raises:
        StudyError: the data set has no such split, and would give another one.
    """
    known = inspect.signature(kind).parameters
    if "split" in known:
        return {"split": split}
    allowed = ("train", "test") if "train" in known else ("train",)
    if split not in allowed:
        found = "only the splits train and test" if "train" in known else "no splits"
        raise StudyError(f"torchvision:{kind.__name__}: has {found}; correct --split {split}")
    return {"train": split == "train"} if "train" in known else {}


def _class_name(name: Any) -> str:
    """Take the first synonym: ImageNet has tuples, the usual name first."""
    return str(name[0] if isinstance(name, tuple) else name)


def _is_number(label: Any) -> bool:
    try:
        return bool(int(label) == label and label >= 0)
    except (TypeError, ValueError, RuntimeError):
        return False
