"""Find files of weights on disk and look into them without torch.

    found = find_weights(Path("/models/CLIP-ViT-B-32-laion2B"))
    found.files, found.config        # one file or all shards; the content of open_clip_config.json

It finds what can be told before a job starts: a pointer of Git LFS, a web page, a file cut off.
"""

import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from hpc_xfer.config.released.zip_layout import (
    checked_archive,
    listed_archive,
    stored_members,
)
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files

CONFIG = "open_clip_config.json"
_INDEX = ".index.json"  # names the file of each tensor, where there are several files
# Names under which open_clip's models lie on the hub; the first that is there is read.
_OF_OPEN_CLIP = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    f"open_clip_model.safetensors{_INDEX}",
    f"open_clip_pytorch_model.bin{_INDEX}",
)
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar", _INDEX)
_HEAD = 512  # bytes that tell what a file is
_LONGEST_HEADER = 8 << 20  # bytes, of 60,000 tensors; the library takes 100 MB, and 4 GB for them
_LONGEST_JSON = 16 << 20  # bytes of an index or a config
_LONGEST_PICKLE = 16 << 20
_FORMATS = {
    b"\x89HDF": "an HDF5 file (Keras)",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"BZh": "a bzip2 archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
}


@dataclass(frozen=True)
class WeightFiles:
    """The files of one set of weights, and what open_clip's config beside them says."""

    where: Path  # for messages: the file, or the folder or index that names the files
    files: tuple[Path, ...]
    config: dict[str, Any] | None = None

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def find_weights(path: Path) -> WeightFiles:
    """Find the file that a path names, all shards of an index, or the weights of a folder.

    Raises:
        DataError: there is nothing to read, or it is seen to be no weights.
    """
    file = _in_folder(path) if os.path.isdir(path) else path
    files = _shards(file) if file.name.endswith(_INDEX) else (file,)
    for each in files:
        if (why := _why_unreadable(each)) is not None:
            raise DataError(f"{each}: {why}")
    return WeightFiles(file, files, _config(file.parent / CONFIG))


def _in_folder(folder: Path) -> Path:
    """Choose the weights in a folder, as the hub's client makes it, or with one file of them."""
    snapshots = folder / "snapshots"
    if snapshots.is_dir():  # the root of a model in the hub's cache
        main = folder / "refs" / "main"
        names = [_first_word(main)] if main.is_file() else os.listdir(snapshots)
        if len(names) != 1 or not _is_plain_name(names[0]):
            raise DataError(f"{folder}: holds {len(names)} snapshots; name one of their folders")
        folder = snapshots / names[0]
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be read ({error.strerror}); correct `released`"
        ) from None
    for name in _OF_OPEN_CLIP:
        if name in names:
            return folder / name
    if "config.json" in names and _json(folder / "config.json").get("architectures"):
        raise DataError(
            f"{folder}: is a model of Hugging Face transformers; take the one of open_clip, with "
            f"{CONFIG}"
        )
    found = _without_shards(folder, [name for name in names if name.endswith(_SUFFIXES)])
    if len(found) == 1:
        return folder / found[0]
    if not found:
        raise DataError(f"{folder}: holds no file of weights; correct `released` in the site file")
    raise DataError(
        f"{folder}: holds {len(found)} files of weights ({', '.join(found[:2])}, ...); name one"
    )


def _without_shards(folder: Path, names: list[str]) -> list[str]:
    """Leave out the files whose index is there too."""
    placed = [_json(folder / name).get("weight_map") for name in names if name.endswith(_INDEX)]
    shards = {str(f) for places in placed if isinstance(places, dict) for f in places.values()}
    return [name for name in names if name not in shards]


def _shards(index: Path) -> tuple[Path, ...]:
    if (why := _why_missing(index)) is not None:
        raise DataError(f"{index}: {why}")
    placed = _json(index).get("weight_map")
    if not isinstance(placed, dict) or not placed or not all(map(_is_plain_name, placed.values())):
        raise DataError(f"{index}: names no files of tensors (weight_map); fetch it again")
    files = tuple(index.parent / name for name in sorted(set(placed.values())))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"{index}: {len(missing)} of {len(files)} files are missing, the first {missing[0]}; "
            "fetch them"
        )
    return files


def _is_plain_name(value: object) -> bool:
    """True for a name in the same folder: no path that leads elsewhere."""
    return isinstance(value, str) and value not in ("", ".", "..") and "/" not in value


def _first_word(file: Path) -> str:
    try:
        return atomic_files.read_bytes(file, _HEAD, follow=True).decode().strip()
    except (OSError, ValueError):
        return ""


def _json(file: Path) -> dict[str, Any]:
    try:
        content = from_json(atomic_files.read_bytes(file, _LONGEST_JSON, follow=True))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _config(file: Path) -> dict[str, Any] | None:
    """Read open_clip's config; None without it.

    Raises:
        DataError: it is there but cannot be read: what it says of the weights would be lost.
    """
    if not file.is_file():
        return None
    content = _json(file)
    if not _is_config(content):
        raise DataError(f"{file}: has no model_cfg; fetch it again")
    return content


def _is_config(content: dict[str, Any]) -> bool:
    model = content.get("model_cfg")
    if not isinstance(model, dict):
        return False
    parts = (model.get("vision_cfg"), model.get("text_cfg"), content.get("preprocess_cfg"))
    return all(part is None or isinstance(part, dict) for part in parts)


def _why_missing(file: Path) -> str | None:
    try:
        mode = file.stat().st_mode
    except OSError as error:
        if os.path.islink(file):
            return "is a link to a file that is not there; fetch it again"
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return "no such file; correct `released` in the site file"
        return f"cannot be read ({error.strerror}); correct `released` in the site file"
    return None if stat.S_ISREG(mode) else "is not a file; correct `released` in the site file"


def _why_unreadable(file: Path) -> str | None:
    """Say why a file cannot be weights; None if it may be."""
    if (why := _why_missing(file)) is not None:
        return why
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
        size = file.stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror}); make it readable"
    if not head:
        return "is empty; fetch it again"
    if (text := _text_of(head)) is not None:
        return text
    if head.startswith(b"PK\x03\x04"):
        return _why_no_zip(file)
    if head[257:262] == b"ustar":
        return "is a tar archive; unpack it"
    for magic, name in _FORMATS.items():
        if head.startswith(magic):
            return f"is {name}" if ";" in name else f"is {name}, not weights of torch; convert it"
    return _why_no_safetensors(file, size) if is_safetensors(file) else None


def _text_of(head: bytes) -> str | None:
    """Say what a text is that was saved in place of weights."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights; run `git lfs pull` in its folder"
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "is a web page, not weights; download the file itself"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return "is a text, not weights; download the file itself"
    return None


def _why_no_zip(file: Path) -> str | None:
    """Say what is wrong with an archive, which torch writes with its list of members at the end."""
    names = _members(file)
    if names is None:
        return "is cut off or damaged; fetch it again"
    if any(name.endswith(".npy") for name in names):
        return "is an archive of NumPy, not weights of torch; convert it"
    if not any(name.endswith("data.pkl") for name in names):
        return "is a zip archive without weights of torch; unpack it"
    try:
        with file.open("rb") as opened, checked_archive(opened):
            return None
    except zipfile.BadZipFile as error:
        return f"is an archive that {error}; save its state dict anew with torch.save"


def _members(file: Path) -> list[str] | None:
    try:
        with file.open("rb") as opened, listed_archive(opened) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return None


def is_script(names: list[str]) -> bool:
    """Tell TorchScript, as OpenAI distributes its weights, by the names in an archive."""
    return any(name.endswith("/constants.pkl") for name in names)


def is_safetensors(file: Path) -> bool:
    """Tell a safetensors file by its name or its first bytes: a length, then JSON."""
    if file.suffix == ".safetensors":
        return True
    with file.open("rb") as opened:
        head = opened.read(10)
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= min(_LONGEST_HEADER, file.stat().st_size)


def _why_no_safetensors(file: Path, size: int) -> str | None:
    header = safetensors_header(file)
    if header is None:
        return "is not a safetensors file; fetch it again"
    ends = [_end(entry) for name, entry in header.items() if name != "__metadata__"]
    if None in ends:
        return "is not a safetensors file; fetch it again"
    with file.open("rb") as opened:
        begin = 8 + int.from_bytes(opened.read(8), "little")
    whole = begin + max((end for end in ends if end is not None), default=0)
    if size != whole:
        return f"has {size:,} bytes where its header says {whole:,}; fetch it again"
    return None


def _end(entry: Any) -> int | None:
    """Return where a tensor ends; None if the header is no such header."""
    match entry:
        case {"data_offsets": [int(), int() as end]}:
            return end
    return None


def safetensors_header(file: Path) -> dict[str, Any] | None:
    """Read name, type and place of each tensor, and `__metadata__`; None if it is damaged."""
    try:
        with file.open("rb") as opened:
            header = from_json(opened.read(check_header(opened)))
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) else None


def check_header(opened: IO[bytes]) -> int:
    """Return the length of the header of a safetensors file, and read up to it.

    Raises:
        OddFile: it is longer than that of any weights.
    """
    opened.seek(0)
    length = int.from_bytes(opened.read(8), "little")
    if not 2 <= length <= _LONGEST_HEADER:
        raise atomic_files.OddFile("its header has an impossible length")
    return length


def is_openais(file: Path) -> bool:
    """Tell OpenAI's weights of CLIP, in its own archive or saved from it, by a name in the pickle.

    The numbers beside the weights (input_resolution, ...) are in these files alone.
    """
    if not zipfile.is_zipfile(file):
        return False
    try:
        with file.open("rb") as opened, checked_archive(opened) as archive:
            pickles = [m for m in stored_members(archive) if m.filename.endswith("/data.pkl")]
            read = [archive.open(m).read(_LONGEST_PICKLE) for m in pickles[:1]]
            return any(b"input_resolution" in data for data in read)
    except (zipfile.BadZipFile, OSError, RuntimeError):
        return False  # torch says what is damaged
