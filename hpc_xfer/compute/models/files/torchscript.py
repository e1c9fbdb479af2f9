"""Read the tensors of a TorchScript archive as data: its program is neither compiled nor run.

    state = torchscript_state(archive)     # names as of the module's state dict

torch.jit.load would run it: modules may have code that runs when they are read, and this code may
write files (torch.from_file).
"""

import pickle
import zipfile
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hpc_xfer.compute.models.files.pickle_check import (
    Bounded,
    Inert,
    NotPlainData,
    OddTensor,
    check_extent,
)
from hpc_xfer.config.released.zip_layout import opened

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_DEEPEST = 100  # modules in modules


class ScriptObject:
    """A module of the archive: its attributes, without its code."""

    def __init__(self, *arguments: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = state if isinstance(state, dict) else {}


@dataclass(frozen=True)
class _Storage:
    name: str
    dtype: torch.dtype
    items: int


def torchscript_state(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Read parameters and buffers by their names.

    Raises:
        NotPlainData: it holds an object that is neither a module nor data.
        Exception: any, on damaged archives.
    """
    folder = archive.namelist()[0].split("/")[0]
    with opened(archive, f"{folder}/data.pkl") as file:
        module = _ScriptUnpickler(Bounded(file), archive, folder).load()
    state: dict[str, Tensor] = {}
    _collect(module, "", state, 0)
    return state


def _collect(found: Any, prefix: str, state: dict[str, Tensor], depth: int) -> None:
    if not isinstance(found, ScriptObject) or depth > _DEEPEST:
        return
    for name, value in found.attributes.items():
        if isinstance(value, Tensor):
            state[f"{prefix}{name}"] = value
        _collect(value, f"{prefix}{name}.", state, depth + 1)


class _ScriptUnpickler(pickle._Unpickler):
    def __init__(self, file: Bounded, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive, self.folder = archive, folder
        self._read: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return ScriptObject
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if module == "torch.jit._pickle" or f"{module}.{name}" == "collections.OrderedDict":
            return Inert  # lists of numbers, and tags of types
        raise NotPlainData(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", torch.dtype() as dtype, str() as key, str(), int() as items):
                member = f"{self.folder}/data/{key}"
                if 0 <= items * dtype.itemsize <= self.archive.getinfo(member).file_size:
                    return _Storage(member, dtype, items)
        raise OddTensor("has a tensor that is larger than its data")

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Tensor:
        if not isinstance(storage, _Storage):
            raise OddTensor("has a tensor without data")
        check_extent(storage.items, offset, size, stride)
        if storage.name not in self._read:
            data = bytearray(opened(self.archive, storage.name).read())
            self._read[storage.name] = (
                torch.frombuffer(data, dtype=torch.uint8)
                if data
                else (torch.empty(0, dtype=torch.uint8))
            )
        whole = self._read[storage.name][: storage.items * storage.dtype.itemsize]
        return whole.view(storage.dtype).as_strided(size, stride, offset)
