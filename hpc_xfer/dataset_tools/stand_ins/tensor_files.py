"""Write tensors as torch.save and as safetensors do, without either: a login node needs no torch.

write_torch(path, {"epoch": 3, "state_dict": tensors})
write_safetensors(path, tensors)
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SAFETENSORS = {"<f4": "F32", "<i8": "I64"}
_STORAGES = {"<f4": "FloatStorage", "<i8": "LongStorage"}
_FOLDER = "archive"


def write_safetensors(path: Path, tensors: "Mapping[str, NDArray[Any]]") -> None:
    """Write a header as JSON, then the numbers of all tensors.

    Raises:
        StoreError: the folder cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, values in tensors.items():
        begin, end = end, end + values.nbytes
        kind = _SAFETENSORS[values.dtype.str]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(values.tobytes() for values in tensors.values())
    atomic_files.write_bytes(path, struct.pack("<Q", len(text)) + text + data)


def write_torch(path: Path, content: Mapping[str, Any]) -> None:
    """Write mappings, texts, whole numbers and tensors as torch's archive.

    Raises:
        StoreError: the folder cannot be written.
    """
    pickled = TensorPickle()
    main = b"\x80\x02" + pickled.of(content) + b"."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{_FOLDER}/data.pkl", main)
        archive.writestr(f"{_FOLDER}/byteorder", b"little")
        for i, values in enumerate(pickled.storages):
            archive.writestr(f"{_FOLDER}/data/{i}", values.tobytes())
        archive.writestr(f"{_FOLDER}/version", b"3\n")
    atomic_files.write_bytes(path, buffer.getvalue())


class TensorPickle:
    """Pickles values by hand: the pickler of Python would import torch for its names."""

    def __init__(self) -> None:
        self.storages: list[NDArray[Any]] = []

    def of(self, value: Any) -> bytes:
        """Return the opcodes of protocol 2 that make a value."""
        match value:
            case str():
                text = value.encode()
                return b"X" + struct.pack("<I", len(text)) + text
            case int():
                return b"J" + struct.pack("<i", value)
            case tuple():
                return b"(" + b"".join(map(self.of, value)) + b"t"
            case Mapping():
                items = (self.of(key) + self.of(each) for key, each in value.items())
                return b"}(" + b"".join(items) + b"u"
        return self._tensor(value)

    def _tensor(self, values: "NDArray[Any]") -> bytes:
        storage = (
            b"(" + self.of("storage") + _name("torch", _STORAGES[values.dtype.str])
            + self.of(str(len(self.storages))) + self.of("cpu") + self.of(values.size) + b"tQ"
        )  # fmt: skip
        self.storages.append(values)
        stride = tuple(each // values.itemsize for each in values.strides)
        place = self.of(0) + self.of(values.shape) + self.of(stride)
        hooks = _name("collections", "OrderedDict") + b")R"
        rebuild = _name("torch._utils", "_rebuild_tensor_v2")
        return rebuild + b"(" + storage + place + b"\x89" + hooks + b"tR"


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()
