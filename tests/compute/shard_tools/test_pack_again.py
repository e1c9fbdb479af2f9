"""`shards make` that is killed or called again: it continues, and refuses another call."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpc_xfer import shards
from hpc_xfer.compute.shard_tools.build_index import index_folder
from hpc_xfer.compute.shard_tools.inputs import ImageFolder
from hpc_xfer.compute.shard_tools.pack import PackOptions, pack
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.errors import DataError, StudyError
from tests.compute.shard_tools.making import make, read_files, read_samples, write_shards
from tests.conftest import ROOT
from tests.tars import png, samples
from tests.waiting import wait_for


def processes_with(variable: str) -> list[str]:
    """Ids of all processes that were started with this in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (path / "environ").read_bytes().split(b"\0"):
                found.append(path.name)
        except OSError:  # it ended, or is not ours
            pass
    return found


def test_a_call_that_was_killed_continues_where_it_stopped(many: Path, tmp_path: Path) -> None:
    make(many, tmp_path / "undisturbed", "--per-shard", "1", "--short-side", "30")
    out, mark = tmp_path / "killed", f"XFER_TEST={tmp_path}"
    call = [sys.executable, "-m", "hpc_xfer.shards", "make", str(many), str(out), "--workers", "2"]
    call += ["--per-shard", "1", "--short-side", "30"]
    env = {**os.environ, "XFER_TEST": str(tmp_path)}
    with subprocess.Popen(call, cwd=ROOT, env=env, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: len(list(out.glob(".making/*.json"))) >= 3)
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not processes_with(mark))  # its own processes end too
    assert not (out / "index.json").exists()
    finished = {path.stem for path in out.glob(".making/*.json")}
    for read in (index_folder, ShardIndex.load):  # a part would be taken for the whole
        with pytest.raises(DataError, match=r"is not finished: .* run the same command again"):
            read(out)
    before = {name: (out / f"{name}.tar").stat().st_mtime_ns for name in finished}
    assert 3 <= len(finished) < 60
    make(many, out, "--per-shard", "1", "--short-side", "30")
    assert read_files(out) == read_files(tmp_path / "undisturbed")
    assert {name: (out / f"{name}.tar").stat().st_mtime_ns for name in finished} == before


def test_a_shard_that_was_damaged_meanwhile_is_made_again(many: Path, tmp_path: Path) -> None:
    out, packing = tmp_path / "out", PackOptions(per_shard=20)

    def stop(done: int, total: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(out, ImageFolder(many), packing, progress=stop)
    (out / "000000.tar").write_bytes(b"cut")
    whole = pack(tmp_path / "whole", ImageFolder(many), packing)
    seen: list[tuple[int, int]] = []
    again = pack(out, ImageFolder(many), packing, progress=lambda *at: seen.append(at))
    assert again.index.fingerprint == whole.index.fingerprint
    assert seen == [(20, 60), (40, 60), (60, 60)]


def test_the_same_call_again_changes_nothing(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    make(photos, out)
    before = read_files(out)
    capsys.readouterr()
    assert make(photos, out, "--workers", "2") == 0
    assert capsys.readouterr().out.endswith("6 samples in 1 shard, 2 classes, made before\n")
    assert read_files(out) == before


@pytest.mark.parametrize(
    ("options", "other"),
    [
        (["--seed", "1"], "--seed"),
        (["--per-shard", "7"], "--shard-mb or --per-shard"),
        (["--shard-mb", "7"], "--shard-mb or --per-shard"),
        (["--short-side", "9", "--seed", "1"], "--short-side or --quality, --seed"),
    ],
)
def test_another_call_into_the_same_folder_is_refused(
    photos: Path, tmp_path: Path, options: list[str], other: str
) -> None:
    out = tmp_path / "out"
    make(photos, out)
    with pytest.raises(StudyError) as refused:
        make(photos, out, *options)
    assert str(refused.value) == (
        f"{out}: holds shards that were made with another {other}; name another folder, or remove "
        "this one to make them again"
    )


def test_another_input_into_the_same_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    make(photos, tmp_path / "out")
    (photos / "dog" / "new.jpg").write_bytes(png(1, "jpeg"))
    with pytest.raises(StudyError, match="made with another input; name another folder"):
        make(photos, tmp_path / "out")


def test_characters_do_not_replace_other_shards(photos: Path, tmp_path: Path) -> None:
    make(photos, tmp_path / "mono")
    with pytest.raises(
        StudyError, match="shards that `shards characters` did not make; name another"
    ):
        shards.main(["characters", str(tmp_path), "--source", "mono", "--samples", "9"])
    assert len(read_samples(tmp_path / "mono")) == 6


def test_shards_of_other_programs_are_not_overwritten(photos: Path, tmp_path: Path) -> None:
    write_shards(tmp_path / "out", samples(1), None)
    with pytest.raises(StudyError, match="holds shards already; remove them or name another"):
        make(photos, tmp_path / "out")
