"""An array on disk, written once by one of many processes and read by all; never trusted.

    slot = CachedArray.keyed(folder, {"data": "..."}, (n, 3, 64, 64), np.dtype("u1"))
    file = slot.made(lambda: batches, touch)      # None: do without
    file.rows(chosen)

`array` holds the rows, then a line of JSON that describes them, with a checksum of each megabyte
of rows. What is odd (cut off, changed, described otherwise) is left out with one line in the log.

It is read, not mapped into memory: the pages are those of the system's cache either way, but where
a mapped file is cut or removed on another node the process dies (SIGBUS). A short read is an error
that has an answer.

The writer holds a lease (see store/ownership/leases.py), so a killed one is noticed. Leases stay:
they tell how often the array was made.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpc_xfer.compute.downstream.array_format import (
    CannotWriteError,
    Checksums,
    DamagedCacheError,
    Rows,
    bytes_of,
    disk_errors,
    ending,
    read_checksums,
    write_all,
)
from hpc_xfer.errors import StoreError
from hpc_xfer.store.ownership.leases import Lease, LeaseFolder
from hpc_xfer.system import atomic_files
from hpc_xfer.system.permissions import allowed_mode, other_writer

log = logging.getLogger(__name__)
Touch = Callable[[], object]  # a sign of life, called every second or so
_SCHEMA = 1
_BLOCK = 1 << 20  # bytes of rows under one checksum
_PATIENCE = 120.0  # s without a sign of the writer; a network file system shows one after up to 60
_SIGN_SECONDS = 2.0  # between two signs of a writer
_POLL = (0.02, 1.0)  # s, first and last
_SPARE = 16 << 20  # bytes left free: a full disk ends runs that cannot write their records


@dataclass(frozen=True)
class CachedArray:
    """The place of one array. `what` says all that its values depend on."""

    folder: Path
    what: Mapping[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    patience: float = _PATIENCE
    trusts_members: bool = False  # see Site.trust_store_members
    _told: set[str] = field(default_factory=set)

    @classmethod
    def keyed(
        cls, root: Path, what: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any],
        trusts_members: bool = False,
    ) -> "CachedArray":  # fmt: skip
        """The place of an array in a folder of many, named by a hash of what it is."""
        whole = {"schema": _SCHEMA, "what": dict(what), "shape": list(shape), "dtype": dtype.str}
        text = json.dumps(whole, sort_keys=True)
        folder = root / hashlib.sha256(text.encode()).hexdigest()[:32]
        return cls(folder, what, shape, dtype, trusts_members=trusts_members)

    @property
    def path(self) -> Path:
        return self.folder / "array"

    @property
    def leases(self) -> LeaseFolder:
        return LeaseFolder(self.folder / "writers", "cached array", self.patience)

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    @property
    def description(self) -> dict[str, Any]:
        """The JSON that the file must hold, apart from its checksums."""
        return {
            "schema": _SCHEMA,
            "what": dict(self.what),
            "shape": list(self.shape),
            "dtype": self.dtype.str,
            "block": max(1, _BLOCK // max(1, self.row_bytes)),  # rows
        }

    def times_made(self) -> int:
        """Count how often all its rows were computed, by any process."""
        return sum(bool(lease.get("made")) for lease in self.leases.history())

    def open(self) -> "ArrayFile | None":
        """Open the array; None where it is absent or odd."""
        try:
            return ArrayFile(self)
        except FileNotFoundError:
            return None
        except (DamagedCacheError, OSError) as error:
            self.left_out(str(error))
            return None

    def made(self, rows: Callable[[], Iterable[Rows]], touch: Touch) -> "ArrayFile | None":
        """Open the array; make it of `rows` where it is absent. None where that is not possible.

        Raises:
            Exception: of `rows`.
        """
        found = self.open_or_claim(touch)
        if isinstance(found, WriteClaim):
            found.write(rows(), touch)
            return self.open()
        return found

    def open_or_claim(self, touch: Touch) -> "ArrayFile | WriteClaim | None":
        """Open the array, or get the right to write it; wait while another process writes it.

        None where neither is possible: the folder cannot be written, or the writer hangs.
        """
        while True:
            if (found := self.open()) is not None:
                return found
            try:
                lease = self.leases.take(what=dict(self.what))
                if lease is not None:
                    claim = WriteClaim(self, lease)
                    if (found := self.open()) is None:  # absent: nobody wrote it in between
                        return claim
                    claim.release()
                    return found
                if not self._wait(touch):
                    self.left_out("its writer shows no progress")
                    return None
            except (StoreError, OSError) as error:
                self.left_out(str(error))
                return None

    def _wait(self, touch: Touch) -> bool:
        """Wait until the writer is done or dead; False where it hangs, or is this process."""
        sign, since, pause = -1, time.monotonic(), _POLL[0]
        while self.leases.is_alive():
            holder = self.leases.holder() or {}
            if (holder.get("host"), holder.get("pid")) == (socket.gethostname(), os.getpid()):
                return False  # it could not release its lease, on a full disk
            seen = Lease(self.leases.folder, int(holder.get("attempt", 1))).path.stat().st_mtime_ns
            if seen != sign:
                sign, since = seen, time.monotonic()
            elif time.monotonic() - since > self.patience:
                return False
            touch()
            time.sleep(pause)  # another process writes: no event reaches us, on any host
            pause = min(2 * pause, _POLL[1])
        return True

    def left_out(self, why: str) -> None:
        """Say once why this cache is not used."""
        if why not in self._told:
            self._told.add(why)
            log.warning("%s: the cache is left out (%s); its content is computed", self.path, why)

    def remove(self) -> None:
        """Remove a damaged array, so that the next process writes it anew."""
        with suppress(OSError):
            self.path.unlink()


class ArrayFile:
    """An array that is open for reading; each block is checked when it is first read."""

    def __init__(self, slot: CachedArray) -> None:
        """
        Raises:
            FileNotFoundError: there is none.
            DamagedCacheError: it is not whole, or another array.
        """
        self.slot = slot
        try:
            self._handle = atomic_files.open_plainly(slot.path)
        except atomic_files.OddFile as odd:
            raise DamagedCacheError(str(odd)) from odd
        weakref.finalize(self, os.close, self._handle)
        writer = other_writer(os.fstat(self._handle), self._handle, slot.trusts_members)
        if writer is not None:
            raise DamagedCacheError(f"{writer} may write to it")
        rows = slot.shape[0] * slot.row_bytes
        self._checksums = read_checksums(self._handle, rows, slot.description)
        self._checked = np.zeros(len(self._checksums), dtype=bool)
        self._per_block = int(slot.description["block"])
        # One buffer for all checks: memory fresh from the system costs more than the checksum.
        self._buffer = np.empty(
            (min(self._per_block, slot.shape[0]), *slot.shape[1:]), dtype=slot.dtype
        )

    def rows(self, chosen: NDArray[np.int64]) -> Rows:
        """Read some rows, in the order of `chosen`.

        Raises:
            DamagedCacheError: they cannot be read, or are not what was written.
        """
        blocks = np.unique(chosen // self._per_block)
        for block in blocks[~self._checked[blocks]]:
            self._check(int(block))
        out = np.empty((len(chosen), *self.slot.shape[1:]), dtype=self.slot.dtype)
        starts = np.flatnonzero(np.diff(chosen, prepend=-2) != 1)
        for start, end in zip(starts, [*starts[1:], len(chosen)], strict=True):
            self._read(out[start:end], int(chosen[start]))
        return out

    def whole(self) -> Rows:
        """Read all rows.

        Raises:
            DamagedCacheError: as `rows`.
        """
        return self.rows(np.arange(self.slot.shape[0]))

    def _check(self, block: int) -> None:
        first = block * self._per_block
        last = min(first + self._per_block, self.slot.shape[0])
        rows = self._buffer[: last - first]
        self._read(rows, first)
        if zlib.crc32(bytes_of(rows)) != self._checksums[block]:
            raise DamagedCacheError(f"rows {first} to {last - 1} have another checksum")
        self._checked[block] = True

    def _read(self, out: Rows, first: int) -> None:
        view, place = bytes_of(out), first * self.slot.row_bytes
        try:
            while view:
                read = os.preadv(self._handle, [view], place)
                if read == 0:
                    raise DamagedCacheError("it was cut off")
                view, place = view[read:], place + read
        except OSError as error:
            raise DamagedCacheError(f"cannot be read: {error.strerror}") from error


@dataclass
class WriteClaim:
    """The right to write an array; a process that has it shows that it lives, or loses it."""

    slot: CachedArray
    lease: Lease
    made: bool = False  # all rows were computed, whether or not the disk took them
    _last: float = field(default_factory=time.monotonic)

    def touch(self) -> None:
        """Show those who wait that this process is alive."""
        if time.monotonic() - self._last > _SIGN_SECONDS:
            self._last = time.monotonic()
            with suppress(OSError):
                os.utime(self.lease.path, follow_symlinks=False)

    def release(self) -> None:
        """Let others write it."""
        with suppress(StoreError):  # a full disk; others notice when this process ends
            content = atomic_files.read_json(self.lease.path)
            told = content if isinstance(content, dict) else {}
            atomic_files.write_json(self.lease.path, told | {"released": True, "made": self.made})

    def write(self, batches: Iterable[Rows], touch: Touch) -> None:
        """Write all rows and release the claim. A full disk leaves no file, and is no error.

        Raises:
            Exception: of `batches`.
        """
        temporary = self.slot.folder / f".array.{os.getpid()}.{os.urandom(4).hex()}.tmp"
        try:
            handle = self._begun(temporary)
            try:
                self._write(handle, batches, touch)
            finally:
                os.close(handle)
            with disk_errors():
                os.replace(temporary, self.slot.path)
        except CannotWriteError as error:
            self.slot.left_out(f"cannot be written: {error}")
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self.release()

    def _begun(self, temporary: Path) -> int:
        """Open the temporary file, where there is room for it.

        Leftovers of killed writers are removed; one that only hung finds its file gone and goes on.
        """
        with disk_errors():
            for path in self.slot.folder.glob(".array.*.tmp"):
                path.unlink(missing_ok=True)
            needed = self.slot.shape[0] * self.slot.row_bytes
            if shutil.disk_usage(self.slot.folder).free < needed + _SPARE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return os.open(temporary, flags, allowed_mode(0o664))

    def _write(self, handle: int, batches: Iterable[Rows], touch: Touch) -> None:
        sums = Checksums(int(self.slot.description["block"]) * self.slot.row_bytes)
        count = 0
        for batch in batches:
            touch()
            self.touch()
            data = bytes_of(np.ascontiguousarray(batch, dtype=self.slot.dtype))
            write_all(handle, data)
            sums.add(data)
            count += len(batch)
        assert count == self.slot.shape[0], f"{count} rows for {self.slot.shape}"
        self.made = True
        write_all(handle, memoryview(ending(self.slot.description, sums)))
        with disk_errors():
            os.fsync(handle)
