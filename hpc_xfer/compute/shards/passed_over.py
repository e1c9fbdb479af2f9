"""Count the members of a tar that belong to no sample, by the reason."""

import re
from typing import NamedTuple

from hpc_xfer.compute.shards.tar_headers import Member

_LONGEST = 4096  # characters of a name: no file system has longer paths (PATH_MAX)
_META = re.compile(r"__(?:[^/]*__|MACOSX)(?:$|/)")  # `__meta__`, and macOS's own folder in archives
_KINDS = {
    "link": "symbolic links",
    "hard link": "hard links to a file that is not before them",
    "other": "entries that are no files (devices, labels, pipes)",
}
_PADDING = "bytes of zeros after the end (padding for tapes, or a part that was never written)"


class PassedOver(NamedTuple):
    """Members that belong to no sample, or other bytes that no sample has: `number` of `what`."""

    what: str  # a plural: "symbolic links"
    number: int
    first: str  # name of the first


class PassedOverCounter:
    """Counts members in the order of the tar."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, member: Member) -> None:
        """Count a member that belongs to no sample. Folders hold nothing and are not counted."""
        if member.kind == "padding":
            self._found[_PADDING] = member.size, f"byte {member.offset:,}"
        elif member.kind != "folder":
            what = _KINDS.get(member.kind) or _reason(member.name)
            count, first = self._found.get(what, (0, member.name[:_LONGEST]))
            self._found[what] = count + 1, first

    def build(self) -> tuple[PassedOver, ...]:
        return tuple(PassedOver(what, *found) for what, found in self._found.items())


def key_and_field(name: str) -> tuple[str, str] | None:
    """Split the name of a member as WebDataset does; None where it belongs to no sample."""
    # WebDataset's rule: the key ends at the first dot of the base name. A base name that begins
    # with a dot has no key: macOS packs `._0.jpg` before 0.jpg, in the middle of a sample.
    start = name.rfind("/") + 1
    dot = name.find(".", start)
    if dot <= start or len(name) > _LONGEST or _META.match(name):
        return None
    return name[:dot], name[dot + 1 :].lower()


def _reason(name: str) -> str:
    if len(name) > _LONGEST:
        return f"files with a path of more than {_LONGEST:,} characters"
    base = name.rpartition("/")[2]
    if base.startswith("._") or name.startswith("__MACOSX"):
        return "files of macOS (._* and __MACOSX)"
    if _META.match(name):
        return "files of WebDataset's own (__*__)"
    return "hidden files" if base.startswith(".") else "files without a suffix"
