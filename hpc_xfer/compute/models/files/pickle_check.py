"""Read the pickle of a file of tensors without making tensors, to see what torch would make of it.

torch reads weights alone, so no code runs. But a pickle of a few bytes can ask for terabytes, and
torch believes it when it says that a storage is longer than its bytes in the file. Here each tensor
has to lie within its storage, and each storage within its bytes; all else is plain data.
"""

import math
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Protocol

MOST_PICKLED = 16 << 20  # bytes; one of 10,000 tensors has 2 MB
_LEGACY = 0x1950A86A20F9469CFC6C  # the first pickle of files before torch 1.6
_ITEM_BYTES = {
    **dict.fromkeys(("Untyped", "Byte", "Char", "Bool", "QUInt8", "QInt8"), 1),
    **dict.fromkeys(("QUInt4x2", "QUInt2x4"), 1),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    "ComplexDouble": 16,
}
_STORAGE = re.compile(r"torch(?:\.cuda|\.storage)?\.(\w+)Storage")
_DTYPE = re.compile(r"torch\.(q?u?int\d+(x\d+)?|b?float\w+|bool|b?complex\d+|bits\w+|double|half)")
_RENAMED = {"__builtin__": "builtins"}  # pickles of protocol 2 have the name of Python 2
_NAME = re.compile(r"[\w.]{1,80}")


class NotPlainData(pickle.UnpicklingError):
    """The file holds an object that is neither a tensor nor plain data."""

    def __init__(self, name: str) -> None:
        self.name = name if _NAME.fullmatch(name) else "of an odd name"
        super().__init__(f"holds an object ({self.name}) beside tensors")


class OddTensor(pickle.UnpicklingError):
    """A tensor does not lie within its data."""


@dataclass(frozen=True)
class StorageKind:
    """The type of a storage, which a pickle names and never calls."""

    item_bytes: int


@dataclass(frozen=True)
class StoredArray:
    """The place of a storage, in items."""

    items: int
    item_bytes: int


class Inert(dict[Any, Any]):
    """Anything made by a pickle that is no tensor; it does nothing."""

    def __init__(self, *args: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Take no state."""

    def append(self, item: Any) -> None:
        """Take no item."""

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none; this may be a key
        return id(self)


class PersistentIds(Protocol):
    """Says how long the bytes of a storage are, by its name in the file."""

    def __call__(self, key: str, wanted: int) -> int: ...


def check_pickle(file: IO[bytes], bytes_of: PersistentIds) -> Any:
    """Read one pickle; return plain data with `Inert` in place of objects.

    Args:
        bytes_of: the bytes that are there for a storage.

    Raises:
        NotPlainData: it names something else than tensors and plain data.
        OddTensor: a tensor does not lie within its data.
        Exception: any, on damaged pickles.
    """
    return _Checker(Bounded(file), bytes_of).load()


def check_legacy(file: IO[bytes], size: int) -> None:
    """Check a file as torch wrote it before 1.6: five pickles, then the bytes of all storages.

    Raises: as `check_pickle`; UnpicklingError, if it is no such file.
    """
    left = size

    def bytes_of(key: str, wanted: int) -> int:
        nonlocal left
        if key not in seen:
            seen.add(key)
            left -= wanted
        return wanted if left >= 0 else 0

    seen: set[str] = set()
    bounded = Bounded(file)
    for number in range(5):
        found = _Checker(bounded, bytes_of).load()
        if number == 0 and found != _LEGACY:
            raise pickle.UnpicklingError("is not a file of torch")


class Bounded:
    """Lets a pickle read so many bytes and no more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, MOST_PICKLED

    def read(self, size: int) -> bytes:
        self._spend(size)
        return self.file.read(size)

    def readline(self) -> bytes:
        line = self.file.readline(1024)
        self._spend(len(line))
        return line

    def readinto(self, buffer: bytearray) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise pickle.UnpicklingError(f"holds over {MOST_PICKLED >> 20} MB beside tensors")


# The implementation in Python: that in C takes memory for what a pickle claims to remember.
class _Checker(pickle._Unpickler):
    def __init__(self, file: Bounded, bytes_of: PersistentIds) -> None:
        super().__init__(file)
        self.bytes_of = bytes_of

    def find_class(self, module: str, name: str) -> Any:
        full = f"{_RENAMED.get(module, module)}.{name}"
        if (found := _STORAGE.fullmatch(full)) and found[1] in _ITEM_BYTES:
            return StorageKind(_ITEM_BYTES[found[1]])
        if _DTYPE.fullmatch(full):
            return full
        if full not in _ALLOWED:
            raise NotPlainData(full)
        return _ALLOWED[full]

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", StorageKind() as kind, str() as key, str(), int() as items, *rest) if (
                rest in ([], [None])
            ):
                wanted = _count(items) * kind.item_bytes
                if wanted > self.bytes_of(key, wanted):
                    raise OddTensor("has a tensor that is larger than its data")
                return StoredArray(items, kind.item_bytes)
        raise OddTensor("has a tensor without data")


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise OddTensor("has a tensor of an impossible size")
    return value


def check_extent(items: int, offset: Any, size: Any, stride: Any) -> None:
    """Raise an OddTensor unless a tensor lies within its storage, and repeats nothing of it."""
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise OddTensor("has a tensor of an impossible size")
    counts, steps = [_count(each) for each in size], [_count(each) for each in stride]
    number = math.prod(counts)
    last = sum((n - 1) * step for n, step in zip(counts, steps, strict=True)) if number else -1
    if number > items or (number and _count(offset) + last >= items):
        raise OddTensor("has a tensor that is larger than its data")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Inert:
    if not isinstance(storage, StoredArray):
        raise OddTensor("has a tensor without data")
    check_extent(storage.items, offset, size, stride)
    return Inert()


def _typed_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, gradient: Any, hooks: Any, kind: Any, *_: Any
) -> Inert:
    """A tensor of a type that has no storage of its own; its storage counts bytes."""
    bits = re.match(r"torch\.(?:uint|float|bits)(8|16|32|64)(?!x)", str(kind))
    if not isinstance(storage, StoredArray) or bits is None:
        raise OddTensor("has a tensor without data")
    check_extent(storage.items * storage.item_bytes // (int(bits[1]) // 8), offset, size, stride)
    return Inert()


def _of_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if function not in _CALLED:
        raise OddTensor("has a tensor of an impossible type")
    return function(*arguments)


def _scalar(kind: Any, content: Any) -> Inert:
    """A number of NumPy; without content it would be as many zeros as its type says."""
    return Inert()


class NeverCalled:
    """Something that a pickle may name and not call: it would take memory for nothing."""


_CALLED: tuple[Callable[..., Any], ...] = (_tensor, _typed_tensor)
_ALLOWED: Mapping[str, Any] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_qtensor": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch.Tensor": NeverCalled(),
    "torch.nn.parameter.Parameter": NeverCalled(),
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    **dict.fromkeys(
        (
            "collections.OrderedDict",
            "torch.Size",
            "torch.device",
            "torch.serialization._get_layout",
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
            "torch._utils._rebuild_sparse_tensor",
            "torch._utils._rebuild_meta_tensor_no_storage",
            *(f"torch.per_{each}" for each in ("tensor_affine", "tensor_symmetric")),
            *(f"torch.per_channel_{each}" for each in ("affine", "symmetric")),
            "torch.per_channel_affine_float_qparams",
            "argparse.Namespace",
            "numpy.dtype",
            *(f"numpy.dtypes.{each}DType" for each in ("Float64", "Float32", "Int64", "Int32")),
            "numpy.dtypes.BoolDType",
            "_codecs.encode",
            "builtins.set",
        ),
        Inert,
    ),
}
