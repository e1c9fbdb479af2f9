"""Any data set of torchvision that has a training and a test split, by its class name.

Where the class takes a `loader`, it is asked for paths instead of images, and the files are decoded
as all others are. Other classes keep their images in memory, and so do we.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torchvision import datasets

from hpc_xfer.compute.downstream import fingerprints
from hpc_xfer.compute.downstream.fingerprints import FingerprintCache
from hpc_xfer.compute.downstream.image_sets import (
    ColorImages,
    DownstreamData,
    ImageFiles,
    Pixels,
)
from hpc_xfer.compute.images.decode import forget_other_formats, pillow_errors_as_data_error
from hpc_xfer.config.dataset_location import Location
from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.own_datasets.stated_words import StatedWords, stated_words
from hpc_xfer.errors import DataError

_MOST_BYTES = 8 << 30  # of decoded images in memory
_SPLITS = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}
Images = ImageFiles | ColorImages


def read(info: DatasetInfo, place: Location, cache: FingerprintCache | None) -> DownstreamData:
    opened = {name: _open(place, name) for name in ("train", "val", "test")}
    if opened["test"] is None:  # ImageNet, Imagenette: the validation set is what all test on
        opened["test"], opened["val"] = opened["val"], None
    if opened["train"] is None or opened["test"] is None:
        raise DataError(
            f"torchvision:{place.kind}: has no training and test split; make an image folder of it"
        )
    words = stated_words(info.name, place)
    classes, notes, are_stated = _classes(opened["train"], words, place)
    sets = {name: _images(place, data) for name, data in opened.items() if data is not None}
    counts, test_counts = (
        tuple(np.bincount(sets[name].labels, minlength=len(classes)).tolist())
        for name in ("train", "test")
    )
    known = replace(
        info,
        classes=classes,
        names_stated=are_stated,
        train=len(sets["train"]),
        test=len(sets["test"]),
        smallest_class=min(counts),
        class_counts=counts,
        test_counts=test_counts,
        official_val=len(sets.get("val", ())),
        notes=notes,
        complete=True,
    )
    fingerprint, copies = _fingerprint(place, sets, cache)
    return DownstreamData(
        known, sets["train"], sets["test"], fingerprint, val=sets.get("val"), copies=copies
    )


def split(place: Location, name: str) -> Images:
    """Read one split alone.

    Raises:
        DataError: there is no such split.
    """
    data = _open(place, name)
    if data is None and name == "test":
        data = _open(place, "val")
    if data is None:
        raise DataError(f"torchvision:{place.kind}: has no {name} split; name another data set")
    return _images(place, data)


def _fingerprint(
    place: Location, sets: dict[str, Images], cache: FingerprintCache | None
) -> tuple[str, dict[str, int]]:
    """The fingerprint, and the numbers of images that are there twice."""
    labels = fingerprints.digest_of_labels(sets.items())
    files = [images.paths for images in sets.values() if isinstance(images, ImageFiles)]
    if len(files) == len(sets):
        return fingerprints.of_images(place.path, files, sets, cache, labels)
    digest = hashlib.sha256(labels.encode())
    digests: list[bytes] = []
    for images in sets.values():
        for i in range(len(images)):
            pixels = images.image(i)
            told = f"{tuple(pixels.shape)}".encode() + pixels.numpy().tobytes()
            digest.update(told)
            digests.append(hashlib.sha256(told).digest())
    return digest.hexdigest(), fingerprints.copies_of(digests, sets)


def _open(place: Location, name: str) -> Any:
    """Open a split; None if the class has none of that name.

    Raises:
        DataError: torchvision has no such class, or the data set is not there.
    """
    forget_other_formats()
    kind = _class(place)
    for choice in _choices(kind, name):
        try:
            return kind(root=place.path, **_options(kind), **choice)
        except ValueError:  # it has no split of that name
            continue
        except (TypeError, OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise DataError(
                f"torchvision:{place.kind}: cannot be opened in {place.path} ({why}); download it "
                "there, on a node with a network, or correct the site file"
            ) from error
    return None


def _class(place: Location) -> Callable[..., Any]:
    kind: Any = getattr(datasets, place.kind, None)
    if not (inspect.isclass(kind) and issubclass(kind, datasets.VisionDataset)):
        raise DataError(
            f"torchvision:{place.kind}: torchvision has no such data set; correct its name"
        )
    found: Callable[..., Any] = kind
    return found


def _choices(kind: Callable[..., Any], name: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments that may name the split."""
    known = inspect.signature(kind).parameters
    if "train" in known:
        yield from () if name == "val" else ({"train": name == "train"},)
    elif "split" in known:
        yield from ({"split": word} for word in _SPLITS[name])


def _options(kind: Callable[..., Any]) -> dict[str, Any]:
    known = inspect.signature(kind).parameters
    options: dict[str, Any] = {"download": False} if "download" in known else {}
    if "loader" in known or (inspect.isclass(kind) and issubclass(kind, datasets.DatasetFolder)):
        options["loader"] = _same_path
    return options


def _same_path(path: Any) -> Any:
    return path


def _classes(
    data: Any, words: StatedWords, place: Location
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Name the classes as the user states, else as torchvision does.

    Returns:
        names, notes on them, and whether the user stated them.
    """
    found = getattr(data, "classes", None)
    known = [str(name[0] if isinstance(name, tuple) else name) for name in found or ()]
    if words.in_order and len(known) != len(words.in_order):
        return words.in_order, words.notes, True
    if found is None:
        raise DataError(
            f"torchvision:{place.kind}: has no class names; state class_names in the site file"
        )
    return words.for_classes(known), tuple(words.remarks(known)), words.say_more_than(known)


def _images(place: Location, data: Any) -> Images:
    paths: list[Path] = []
    pixels: list[Pixels] = []
    labels: list[int] = []
    for i in range(len(data)):
        with pillow_errors_as_data_error(f"torchvision:{place.kind}[{i}]"):
            image, label = data[i]
            if isinstance(image, Image.Image):
                pixels.append(np.array(image.convert("RGB")).transpose(2, 0, 1))
            else:
                paths.append(Path(image))
        labels.append(_number(place, i, label))
        if pixels and pixels[0].nbytes * len(data) > _MOST_BYTES:
            raise DataError(
                f"torchvision:{place.kind}: is too large to be kept in memory; make an image "
                "folder of it"
            )
    found = np.array(labels, dtype=np.int64)
    return ImageFiles(found, paths) if paths else ColorImages(found, pixels)


def _number(place: Location, i: int, label: Any) -> int:
    try:
        return int(label)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"torchvision:{place.kind}[{i}]: has no class number; name another data set"
        ) from error
