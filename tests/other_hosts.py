"""Other hosts, played on this machine: each has a name and a clock of its own, and our disk.

What runs there sees another host name, so it judges our processes by their heartbeat alone.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import other_clock
from tests.conftest import ROOT

_AS = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"']


class OtherHosts:
    """Starts commands on other hosts; skips the test where this machine cannot play them."""

    def __init__(self, folder: Path) -> None:
        if absent := other_clock.missing():
            pytest.skip(f"not installed: {', '.join(absent)}; run: make slurm")
        if subprocess.run([*_AS, "elsewhere", "true"], capture_output=True).returncode != 0:
            pytest.skip("another host name needs root, and unshare")
        self._kernel_calls = other_clock.compile_kernel_calls(folder)

    def start(
        self, name: str, hours: float, command: Sequence[str], **more: Any
    ) -> "subprocess.Popen[str]":
        """Start a command on a host whose clock is so many hours ahead."""
        env = {**os.environ, **other_clock.shifted(hours, self._kernel_calls)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **more}
        return subprocess.Popen([*_AS, name, *command], env=env, text=True, cwd=ROOT, **pipes)
