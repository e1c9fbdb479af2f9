"""Download one file so that a broken connection or a killed process costs little.

What has arrived is in FILE.part; FILE.part.json says which version of the file it belongs to. The
next request asks for the rest of the same version (Range and If-Range). A server that has another
version, or that cannot send a part, sends the whole file, and the download begins anew.
"""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hpc_xfer.config.dataset_cards import Archive
from hpc_xfer.errors import DataError
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import ProgressCallback, size

_BLOCK = 1 << 20
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHANGED = 412  # precondition failed
_BEYOND_THE_END = 416
_LONGEST_WAIT = 60.0  # seconds


@dataclass(frozen=True)
class Patience:
    """Limits of trying again. A try that brings new bytes does not count."""

    tries: int = 6  # in a row
    timeout: float = 60.0  # seconds without a byte
    wait: Callable[[float], None] = time.sleep


class _Response(Protocol):
    status: int
    headers: Any

    def read1(self, n: int, /) -> bytes: ...


class _TryAgain(Exception):
    """A fault of the network or server that may be gone soon."""


@dataclass(frozen=True)
class _Version:
    """Marks of one version of a file, and its size; None where not stated."""

    tag: str | None
    date: str | None
    total: int | None

    @property
    def condition(self) -> str | None:
        """The value of If-Range. A weak tag may belong to two versions, so it does not count."""
        return self.tag if self.tag and not self.tag.startswith("W/") else self.date


def download(
    url: str, to: Path, progress: ProgressCallback, patience: Patience, room: float = 1.0
) -> None:
    """Download `url` to `to`, going on with what an earlier call has left.

    Args:
        progress: called with bytes; the total is 0 while it is unknown.
        room: free space that is needed, in sizes of the file: 2 if it will be unpacked beside it.

    Raises:
        DataError: the server refuses or is gone, or there is no space; the .part stays.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url}: must begin with http:// or https://; correct --mirror")
    part = _Part(to)
    failures, most = 0, part.size
    while True:
        try:
            _go_on(url, part, progress, patience.timeout, room)
            break
        except _TryAgain as error:
            arrived = part.size
            failures = 0 if arrived > most else failures + 1
            most = max(most, arrived)
            if failures >= patience.tries:
                raise DataError(
                    f"{url}: {error}, {failures} times in a row; {size(arrived)} are kept, so call "
                    "again later to go on, or name a --mirror"
                ) from error
            patience.wait(min(2.0**failures, _LONGEST_WAIT))
    part.finish()


def check_sum(archive: Archive, path: Path, progress: ProgressCallback) -> None:
    """Compare a file with its size and checksum on the card; remove it if it is another one.

    Raises:
        DataError: it differs.
    """
    found = path.stat().st_size
    if archive.bytes is not None and found != archive.bytes:
        path.unlink()
        raise DataError(
            f"{path}: has {found:,} bytes, expected {archive.bytes:,}; removed it, so fetch again "
            "or from another --mirror"
        )
    for kind, expected in (("sha256", archive.sha256), ("md5", archive.md5)):
        if expected is None:
            continue
        digest = _digest(kind, path, progress)
        if digest != expected:
            path.unlink()
            raise DataError(
                f"{path}: has {kind} {digest}, expected {expected}; removed it, so fetch again or "
                "from another --mirror"
            )
        return


def _digest(kind: str, path: Path, progress: ProgressCallback) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)  # else FIPS machines refuse md5
    done, total = 0, path.stat().st_size
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            progress(done, total)
    return digest.hexdigest()


class _Part:
    """The part of a file that has arrived, and its version."""

    def __init__(self, to: Path) -> None:
        self.to = to
        self.path = to.with_name(f"{to.name}.part")
        self._note = to.with_name(f"{to.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> _Version | None:
        """Return the version that arrived from `url`; None where it is not known."""
        note = atomic_files.read_json(self._note, follow=True)
        if not isinstance(note, dict) or note.get("url") != url:
            return None
        return _Version(note.get("tag"), note.get("date"), note.get("total"))

    def begin(self, url: str, version: _Version) -> None:
        """Forget what has arrived, and note what comes now."""
        self.forget()
        atomic_files.write_json(
            self._note,
            {"url": url, "tag": version.tag, "date": version.date, "total": version.total},
        )

    def forget(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        except OSError as error:  # not one of the network
            raise DataError(_unwritable(self.path, error)) from error

    def append(self, response: _Response, total: int, progress: ProgressCallback) -> None:
        done = self.size
        progress(done, total)
        try:
            with open(self.path, "ab") as file:
                while block := _read(response):
                    file.write(block)
                    file.flush()
                    done += len(block)
                    progress(done, total)
        except OSError as error:
            raise DataError(_unwritable(self.path, error)) from error

    def finish(self) -> None:
        try:
            if not self.path.exists():
                self.path.touch()  # an empty file has no block
            atomic_files.sync(self.path)
            os.replace(self.path, self.to)
        except OSError as error:
            raise DataError(_unwritable(self.path, error)) from error
        self._note.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> str:
    return (
        f"{path}: cannot be written ({error.strerror or error}); free space or fix the "
        "permissions, then call again to go on"
    )


def _go_on(url: str, part: _Part, progress: ProgressCallback, timeout: float, room: float) -> None:
    """Ask once for what is missing, and append it.

    Raises:
        _TryAgain: the file is not whole yet.
    """
    have, known = part.size, part.version(url)
    if known is not None and have and have == known.total:
        return  # killed between the last byte and the new name
    headers = {"User-Agent": "hpc_xfer", "Accept-Encoding": "identity"}
    resumes = bool(have and known and known.condition)
    if resumes and known and known.condition:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.condition}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        ) as response:
            version = _version(response)
            is_rest = response.status == 206
            if is_rest and (not resumes or not _continues(response, have, known, version)):
                part.forget()
                raise _TryAgain("the server sent another part than asked for")
            if not is_rest:
                part.begin(url, version)
                have = 0
            total = version.total or 0
            _check_space(part.path, total - have + (room - 1) * total)
            part.append(response, total, progress)
    except urllib.error.HTTPError as error:
        with error:
            _judge(url, error, part)
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(_why(error)) from error
    if total and part.size != total:
        raise _TryAgain(f"the connection ended after {size(part.size)} of {size(total)}")


def _judge(url: str, error: urllib.error.HTTPError, part: _Part) -> None:
    if error.code in (_BEYOND_THE_END, _CHANGED):  # the file is another one now
        part.forget()
    elif error.code not in _TRY_AGAIN:
        raise DataError(
            f"{url}: the server answers {error.code} ({error.reason}); look for the file on the "
            "home page of the data set, or name a --mirror"
        ) from error
    raise _TryAgain(f"the server answers {error.code} ({error.reason})") from error


def _continues(response: _Response, have: int, known: _Version | None, version: _Version) -> bool:
    """Return whether a part goes on where ours ends; some servers send parts of a newer file."""
    begin = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    if known is None or begin != str(have):
        return False
    same_tag = version.tag is None or version.tag == known.tag
    return same_tag and (known.total is None or version.total in (None, known.total))


def _version(response: _Response) -> _Version:
    headers = response.headers
    if response.status == 206:
        text = headers.get("Content-Range", "").rpartition("/")[2]
    else:
        text = headers.get("Content-Length", "")
    total = int(text) if text.isdecimal() else None
    return _Version(headers.get("ETag"), headers.get("Last-Modified"), total)


def _read(response: _Response) -> bytes:
    """Read a block. Its errors are of the network; those of the disk are told apart so."""
    try:
        return response.read1(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgain(_why(error)) from error


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"cannot be reached ({text})"


def _check_space(path: Path, needed: float) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DataError(
            f"{path.parent}: {size(needed)} are needed for {path.stem} and what is in it, but "
            f"{size(free)} are free; free some, or choose another --to"
        )
