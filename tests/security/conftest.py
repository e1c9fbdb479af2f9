"""A second user of this machine, for attacks that need one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.security import launched_store
from tests.security.launched_store import LaunchedStore

_UID, _GROUP = 64_123, 64_124  # nobody has them


@dataclass(frozen=True)
class Neighbor:
    """Another user, who shares a group with us: the members of a lab."""

    uid: int = _UID
    group: int = _GROUP

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as this user, with a bare environment."""
        return subprocess.run(
            command, user=self.uid, group=self.uid, extra_groups=[self.group], input=stdin,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, cwd="/",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def python(self, code: str) -> str:
        """Run Python as this user; return what it prints, its errors too."""
        # Not the interpreter of a virtual environment, which lies where he may not look.
        done = self.run("/usr/bin/env", "python3", "-c", code)
        return done.stdout + done.stderr

    def starts(self, code: str) -> "subprocess.Popen[str]":
        """Start Python as this user, and go on."""
        return subprocess.Popen(
            ["/usr/bin/env", "python3", "-c", code], user=self.uid, group=self.uid,
            extra_groups=[self.group], env={"PATH": os.environ["PATH"]}, cwd="/", text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


@pytest.fixture
def neighbor() -> Neighbor:
    """Another user of this machine; only root can become one."""
    if os.geteuid() != 0:
        pytest.skip("only root can become a second user; run the tests as root of a container")
    found = Neighbor()
    try:
        done = found.run("/usr/bin/env", "python3", "-c", "print(1)")
    except PermissionError as error:  # a user namespace with one user
        pytest.skip(f"a second user cannot be made here ({error.strerror})")
    if done.returncode:
        pytest.skip(f"a second user has no python3 here: {done.stderr.strip()}")
    return found


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> LaunchedStore:
    return launched_store.make(tmp_path_factory.mktemp("launched"))


@pytest.fixture
def study(
    launched: LaunchedStore, command: Command, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LaunchedStore]:
    """A launched study, and a Slurm that answers and knows no job."""
    monkeypatch.setenv("HPC_XFER_SLURM_PATIENCE", "0")
    for name in launched_store.SLURM:
        command(name, "true")
    with launched.restored() as store:
        yield store


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder of ours that a second user may read, as on a file system of a cluster."""
    folder = Path(tempfile.mkdtemp(prefix="hpc_xfer-common-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lab(common: Path) -> Path:
    """A folder of ours in which the group of the second user may write."""
    folder = common / "lab"
    folder.mkdir()
    os.chown(folder, -1, _GROUP)
    folder.chmod(0o2775)
    return folder
