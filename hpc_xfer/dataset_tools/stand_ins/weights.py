"""Write a file of weights for a tiny architecture, in the form of the file that it stands for.

    entry = write_weights(folder, arch, site.weights("openai"))    # its entry in a site file

A tag of open_clip is a folder of the Hugging Face hub, with open_clip_config.json; so is a folder.
A checkpoint of torch holds more than the weights, or several of them where the site names a key.
"""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.config.architectures import image_size
from hpc_xfer.config.recipes import Architecture
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.dataset_tools.stand_ins.tensor_files import write_safetensors, write_torch
from hpc_xfer.dataset_tools.stand_ins.tiny_towers import tensors_of
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]
_HUB, _CONFIG = "open_clip_model.safetensors", "open_clip_config.json"
_INDEX = ".index.json"
_MEAN, _STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]  # of a tag: about CLIP's
_OTHER = "other"  # weights beside those of a key


def write_weights(folder: Path, arch: Architecture, entry: ReleasedEntry | None) -> dict[str, Any]:
    """Write the weights, and return their entry of `released` in a site file.

    Args:
        entry: of the user's site file; None for a tag of open_clip.

    Raises:
        StoreError: the folder cannot be written.
    """
    atomic_files.make_folder(folder)
    tensors = tensors_of(arch, zlib.crc32(folder.name.encode()))
    if entry is None:
        return {"path": str(_hub(folder, arch, tensors))}
    place = Path(entry.path)
    is_folder = os.path.isdir(place) or not place.suffix
    if entry.key is not None and (is_folder or place.name.endswith((_INDEX, ".safetensors"))):
        tensors = {**_below(entry.key, tensors), **_below(_OTHER, _some(tensors))}
    if is_folder:
        path = _hub(folder, arch, tensors)
    elif place.name.endswith(_INDEX):
        path = _shards(folder, tensors, place.name)
    elif place.suffix == ".safetensors":
        path = folder / place.name
        write_safetensors(path, tensors)
    else:
        path = folder / place.name
        write_torch(path, _checkpoint(tensors, entry.key))
    return {"path": str(path), **_stated(entry, arch)}


def _stated(entry: ReleasedEntry, arch: Architecture) -> dict[str, Any]:
    """Keep what an entry states, for images and an activation that the tiny architecture has."""
    size = None if entry.size is None else image_size(arch)
    activation = None if entry.activation is None else "gelu"
    known = {"key": entry.key, "mean": entry.mean, "std": entry.std, "size": size}
    known |= {"activation": activation}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in known.items()
        if value is not None
    }


def _hub(folder: Path, arch: Architecture, tensors: "Tensors") -> Path:
    """Write a folder as the Hugging Face hub has it, with the config of open_clip."""
    model = arch.model_dump(mode="json", exclude_none=True)
    images = {"mean": _MEAN, "std": _STD, "size": image_size(arch), "interpolation": "bicubic"}
    config = {"model_cfg": model, "preprocess_cfg": {**images, "resize_mode": "shortest"}}
    atomic_files.write_text(folder / _CONFIG, json.dumps(config))
    write_safetensors(folder / _HUB, tensors)
    return folder


def _shards(folder: Path, tensors: "Tensors", name: str) -> Path:
    """Write two files, and the index that says which tensor is in which."""
    stem, names = name.removesuffix(_INDEX), list(tensors)
    stem = stem.removesuffix(".safetensors").removesuffix(".bin")
    placed: dict[str, str] = {}
    for i, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-{i:05d}-of-00002.safetensors"
        write_safetensors(folder / file, {each: tensors[each] for each in part})
        placed |= dict.fromkeys(part, file)
    atomic_files.write_text(folder / name, json.dumps({"weight_map": placed}))
    return folder / name


def _checkpoint(tensors: "Tensors", key: str | None) -> Mapping[str, Any]:
    """Nest the weights as open_clip's training does under DDP; or beside others, under a key."""
    if key is None:
        return {"epoch": 3, "name": "stand-in", "state_dict": _below("module", tensors)}
    content: Mapping[str, Any] = tensors
    for name in reversed(key.split(".")):
        content = {name: content, _OTHER: _some(tensors)}
    return content


def _below(name: str, tensors: "Tensors") -> "Tensors":
    return {f"{name}.{each}": values for each, values in tensors.items()}


def _some(tensors: "Tensors") -> "Tensors":
    """Take a part of the weights, as of a model that is not the one that is meant."""
    return {name: values for name, values in tensors.items() if name.startswith("text.ln")}
