"""Let a process believe in another time, as on a host whose clock is wrong; needs faketime."""

import shutil
import subprocess
from pathlib import Path

PROGRAMS = ("faketime", "cc")
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
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


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
    call = ["faketime", "-m", "-f", "+0", "printenv", "LD_PRELOAD"]
    told = subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()
    places = (told.replace("$LIB", where).lstrip("/") for where in ("lib/*", "lib64", "lib"))
    library = next(found for place in places for found in Path("/").glob(place))
    return {
        "LD_PRELOAD": f"{kernel_calls}:{library}",
        "FAKETIME": f"{hours * 3600:+.0f}",
        "NO_FAKE_STAT": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
