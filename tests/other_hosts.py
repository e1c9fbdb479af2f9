"""Other hosts, played on this machine: each has a name and a clock of its own, and our disk.

What runs there sees another host name, so it judges our processes by their heartbeat alone.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.conftest import ROOT

_AS = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"']


class OtherHosts:
    """Starts commands on other hosts; skips the test where this machine cannot play them."""

    def __init__(self, at_another_time: Callable[[float], dict[str, str]]) -> None:
        if subprocess.run([*_AS, "elsewhere", "true"], capture_output=True).returncode != 0:
            pytest.skip("another host name needs root, and unshare")
        self._clock = at_another_time
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, name: str, hours: float, command: Sequence[str], **more: Any
    ) -> "subprocess.Popen[str]":
        """Start a command on a host whose clock is so many hours ahead."""
        env = {**os.environ, **self._clock(hours)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **more}
        process = subprocess.Popen([*_AS, name, *command], env=env, text=True, cwd=ROOT, **pipes)
        self._started.append(process)
        return process

    def end(self) -> None:
        """End all that was started."""
        for process in self._started:
            process.kill()
            process.communicate()
