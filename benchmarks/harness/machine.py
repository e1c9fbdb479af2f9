"""Describe this machine in one line; it stands beside every measured number."""

import os
import platform
from pathlib import Path


def describe() -> str:
    """`AMD EPYC, 2 cores, Python 3.11.7`."""
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, Python {platform.python_version()}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line for line in text.splitlines() if line.startswith("model name")]
    return names[0].partition(":")[2].strip() if names else platform.machine()
