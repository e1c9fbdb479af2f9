"""Shared input: rendered shards, made once for all tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources `sans` and `serif`, 512 printed characters each."""
    folder = tmp_path_factory.mktemp("shards")
    command = [sys.executable, "-m", "hpc_xfer.shards", "characters", str(folder)]
    command += ["--source", "sans", "serif", "--samples", "512", "--classes", "64"]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def site(shards: Path) -> Path:
    """A site file that knows the shards."""
    path = shards / "site.yaml"
    path.write_text("sources: {sans: sans, serif: serif}\n")
    return path


@pytest.fixture(autouse=True)
def no_site_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests' results do not depend on the machine's own settings."""
    monkeypatch.delenv("HPC_XFER_SITE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
