"""Let a process believe in another time, as on a host whose clock is wrong; needs libfaketime."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Where Debian, Fedora and `make install` of its source put libfaketime.
_PLACES = ("lib/*", "lib64", "lib", "local/lib")
# Each process that libfaketime is loaded into makes two files there, named by its process id. It
# leaves them when it is killed, and the program `faketime` fails where its own id meets them.
_SHARED_MEMORY = Path("/dev/shm")
# Calls that libfaketime 0.9.10 must not have. It breaks time.sleep of Python 3.11 and newer, which
# sleeps until a time of the monotonic clock; and a file that is touched gets the process's time.
_KERNEL = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *end, struct timespec *left) {
  return syscall(SYS_clock_nanosleep, clock, flags, end, left) == 0 ? 0 : errno;
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
  return syscall(SYS_utimensat, folder, path, times, flags);
}

int futimens(int file, const struct timespec times[2]) {
  return syscall(SYS_utimensat, file, NULL, times, 0);
}
"""


def missing() -> list[str]:
    """Return what is not installed."""
    compiler = [] if shutil.which("cc") else ["cc"]
    return compiler if any(_libraries()) else [*compiler, "faketime"]


def compile_kernel_calls(folder: Path) -> Path:
    """Make the library that goes before libfaketime."""
    source, library = folder / "kernel.c", folder / "kernel.so"
    source.write_text(_KERNEL)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


def shifted(hours: float, kernel_calls: Path) -> dict[str, str]:
    """Return the environment of a process whose clock is so many hours ahead of this machine's.

    Times of files stay those of the file system, and the monotonic clock is right: as on a host
    that mounts another's disk.
    """
    library = next(_libraries())
    return {
        "LD_PRELOAD": f"{kernel_calls}:{library}",
        "FAKETIME": f"{hours * 3600:+.0f}",
        "NO_FAKE_STAT": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def clean_up() -> None:
    """Remove what killed processes left in shared memory."""
    for path in _SHARED_MEMORY.glob("*faketime_s[eh]m_*"):
        if not Path("/proc", path.name.rpartition("_")[2]).exists():
            with contextlib.suppress(OSError):  # another user's, or another test removed it
                path.unlink()


def _libraries() -> Iterator[Path]:
    for place in _PLACES:
        yield from Path("/usr").glob(f"{place}/faketime/libfaketimeMT.so.1")
