"""All commands share exit codes and the place of the store."""

import io
import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from hpc_xfer import cli
from hpc_xfer.config.site import Site
from hpc_xfer.errors import StoreError, StudyError
from hpc_xfer.system import machine


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (StudyError("a.yaml:1: no"), 2, "a.yaml:1: no\n"),
        (StoreError("/x: full"), 1, "/x: full\n"),
        (KeyboardInterrupt(), 130, "interrupted; launch again to go on from here\n"),
    ],
)
def test_errors_of_ours_are_one_sentence_and_a_code(
    error: BaseException, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise error

    with pytest.raises(SystemExit) as caught:
        cli.exit_with(main)
    assert (caught.value.code, capsys.readouterr().err) == (code, told)


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("utf-8", "0.5 ± 0.1 →\n".encode()),
        ("latin-1", b"0.5 \xb1 0.1 \\u2192\n"),
        ("ascii", b"0.5 \\xb1 0.1 \\u2192\n"),
    ],
)
def test_a_character_that_the_locale_lacks_is_printed_as_its_code(
    encoding: str, printed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(argv: Sequence[str] | None) -> int:
        print("0.5 ± 0.1 →")
        return 0

    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    with pytest.raises(SystemExit) as caught:
        cli.exit_with(main)
    assert (caught.value.code, out.getvalue()) == (0, printed)


def test_a_bug_of_ours_shows_its_trace() -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        cli.exit_with(main)


def _code(code: int, argv: Sequence[str] | None) -> int:
    return code


def test_the_code_of_a_command_is_that_of_the_process() -> None:
    for code in (0, 1):
        with pytest.raises(SystemExit) as caught:
            cli.exit_with(partial(_code, code))
        assert caught.value.code == code


def test_the_store_is_the_given_one_else_the_sites_else_runs() -> None:
    site = Site(store="/site")
    assert cli.store_of("/given", site).root == Path("/given")
    assert cli.store_of(None, site).root == Path("/site")
    assert cli.store_of(None, Site()).root == Path("runs")


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [("", []), ("-1", []), ("NoDevFiles", []), ("0,1", ["0", "1"]), ("GPU-3f2c", ["GPU-3f2c"])],
)
def test_gpus_are_those_that_slurm_lets_us_see(
    visible: str, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.gpus() == gpus


def test_without_slurm_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.path.dirname(str(shutil.which('cat')))}")
    driver = tmp_path / "nvidia-smi"
    lines = "GPU 0: A100 (UUID: GPU-1)\n  MIG 1g.5gb Device 0\nGPU 1: A100 (UUID: GPU-2)\n"
    driver.write_text(f"#!/bin/sh\ncat <<END\n{lines}END\n")
    driver.chmod(0o755)
    assert machine.gpus() == ["0", "1"]
    driver.write_text("#!/bin/sh\necho 'no driver' >&2\nexit 9\n")
    assert machine.gpus() == []
    driver.unlink()
    assert shutil.which("nvidia-smi") or machine.gpus() == []


def test_cores_are_those_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert machine.cores() == len(allowed)
