"""Paths are told as their user wrote them: a link here may be a mount elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer.system.written_path import absolute

TELL = """
import sys
from hpc_xfer.system.written_path import absolute, as_written
print(absolute("runs"), absolute("../runs"), as_written(sys.argv[1]))
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A link to a folder elsewhere, as /scratch is on many login nodes."""
    (tmp_path / "disk7/me").mkdir(parents=True)
    (tmp_path / "scratch").symlink_to("disk7")
    return tmp_path / "scratch"


def told(folder: Path, pwd: Path, path: Path) -> list[str]:
    """What a command says that runs in a folder to which its user came by another path."""
    env = {**os.environ, "PWD": str(pwd)}
    call = [sys.executable, "-c", TELL, str(path)]
    done = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_links_of_an_absolute_path_stay(scratch: Path) -> None:
    assert absolute(scratch / "me/runs") == scratch / "me/runs"
    assert absolute(f"{scratch}//me/./runs/") == scratch / "me/runs"


def test_a_relative_path_stands_where_the_user_went(scratch: Path) -> None:
    python = scratch.resolve() / "me"
    assert told(scratch / "me", scratch / "me", python) == [
        f"{scratch}/me/runs", f"{scratch}/runs", f"{scratch}/me",
    ]  # fmt: skip


def test_a_pwd_that_is_another_folder_is_not_believed(scratch: Path, tmp_path: Path) -> None:
    real = scratch.resolve()
    for pwd in (tmp_path, tmp_path / "gone", Path("me")):
        assert told(scratch / "me", pwd, real) == [f"{real}/me/runs", f"{real}/runs", f"{real}"]


def test_two_dots_behind_a_link_lead_where_the_link_leads(scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/work").symlink_to(tmp_path / "disk7/me")
    path = tmp_path / "home/work/../runs"
    assert absolute(path) == path  # not home/runs: work/.. is disk7
    assert absolute(tmp_path / "home/../runs") == tmp_path / "runs"
    assert absolute("/../../a") == Path("/a")


def test_a_python_in_a_folder_behind_a_link_is_told_by_the_link(tmp_path: Path) -> None:
    """getcwd() knows no links, and sys.executable is made from it."""
    (tmp_path / "disk7/bin").mkdir(parents=True)
    (tmp_path / "scratch").symlink_to("disk7")
    (tmp_path / "disk7/bin/python").symlink_to(sys.executable)
    code = "import sys; from hpc_xfer.system.written_path import *; print(as_written(sys.argv[1]))"
    folder = tmp_path / "scratch/bin"
    call = [sys.executable, "-c", code, str(tmp_path / "disk7/bin/python")]
    env = {**os.environ, "PWD": str(folder)}
    done = subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{folder}/python"
