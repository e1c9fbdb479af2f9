"""Copies of decoded images on a node's scratch: what is read stays, what nobody reads goes."""

import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.compute.downstream import node_scratch
from hpc_xfer.compute.downstream.decoded_cache import CachePlaces, DecodedCache
from hpc_xfer.config.site import Site
from hpc_xfer.store.paths import StoreDir

DAY = 86400


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The TMPDIR of a job, with a space in its name."""
    folder = tmp_path / "node scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python asks for TMPDIR once
    return folder


def copy(scratch: Path, tag: str, name: str, days: float, size: int = 1000) -> Path:
    """A copy that was last opened so many days ago."""
    folder = scratch / f"hpc_xfer-{tag}" / (name * 32)
    folder.mkdir(parents=True)
    (folder / "array").write_bytes(bytes(size))
    (folder / "writers").mkdir()
    (folder / "writers" / "1.json").write_text("{}")
    aged(folder, days)
    return folder


def aged(folder: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(folder, (then, then))


def test_copies_that_no_job_has_opened_for_a_week_are_removed(
    scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read, unread = copy(scratch, "aaaaaa", "1", days=6), copy(scratch, "aaaaaa", "2", days=8)
    of_another_store = copy(scratch, "bbbbbb", "3", days=30, size=200_000_000)
    with caplog.at_level(logging.INFO):
        assert node_scratch.folder_of("aaaaaa") == read.parent
    assert read.is_dir() and not unread.exists() and not of_another_store.exists()
    assert "removed 2 copies of decoded images (0.2 GB) that no job has opened for 7 days" in (
        caplog.text
    )


def test_a_copy_that_is_opened_stays_for_another_week(scratch: Path, tmp_path: Path) -> None:
    store = StoreDir(tmp_path / "store")

    def read() -> Path:
        folder = node_scratch.folder_of(store.tag)
        cache = DecodedCache(CachePlaces(store, folder), {"data": "f"}, n=4, size=8)
        views = np.arange(4 * 3 * 8 * 8, dtype="u1").reshape(4, 3, 8, 8)
        rows = cache.rows(np.arange(4), True, lambda part: views[part], lambda: None)
        assert rows is not None and np.array_equal(rows, views) and cache.copy is not None
        return cache.copy.folder

    aged(read(), 6)
    assert read().stat().st_mtime > time.time() - DAY


def test_what_is_no_copy_of_this_package_is_not_touched(scratch: Path, tmp_path: Path) -> None:
    others = [scratch / "hpc_xfer-benchmarks", scratch / "other", scratch / "hpc_xfer-aaaaaa" / "x"]
    for folder in others:
        folder.mkdir(parents=True)
        aged(folder, 400)
    elsewhere = tmp_path / "elsewhere"
    kept = copy(elsewhere, "cccccc", "1", days=400)
    (scratch / "hpc_xfer-cccccc").symlink_to(kept.parent)
    (scratch / "hpc_xfer-aaaaaa" / ("4" * 32)).symlink_to(kept)
    (scratch / "hpc_xfer-dddddd").write_text("a file")
    assert node_scratch.folder_of("eeeeee") == scratch / "hpc_xfer-eeeeee"
    assert all(folder.is_dir() for folder in others)
    assert (kept / "array").is_file()


def test_a_folder_that_is_empty_for_a_week_goes_too(scratch: Path) -> None:
    for tag, days in (("aaaaaa", 8), ("bbbbbb", 1)):
        (scratch / f"hpc_xfer-{tag}").mkdir()
        aged(scratch / f"hpc_xfer-{tag}", days)
    node_scratch.folder_of("cccccc")
    assert sorted(folder.name for folder in scratch.iterdir()) == [
        "hpc_xfer-bbbbbb",
        "hpc_xfer-cccccc",
    ]


def test_scratch_is_used_in_jobs_of_a_site_that_names_it(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site.model_validate({"slurm": {"scratch": "/scratch/$SLURM_JOB_ID"}})
    store = StoreDir(tmp_path / "store")
    for variable in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID"):
        monkeypatch.delenv(variable, raising=False)
    old = copy(scratch, "aaaaaa", "1", days=400)
    assert CachePlaces.of(store, site).scratch is None
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert CachePlaces.of(store, Site()).scratch is None
    assert old.is_dir()  # nobody said that this folder is for us
    assert CachePlaces.of(store, site).scratch == scratch / f"hpc_xfer-{store.tag}"
    assert not old.exists()
