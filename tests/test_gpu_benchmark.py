"""benchmarks.gpu on the CPU: the script itself works, and says where it does not belong."""

import contextlib
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import gpu_tests
from benchmarks.gpu.child import Child
from benchmarks.gpu.report import Measured, markdown
from benchmarks.gpu.setting import Setting
from tests.conftest import ROOT


def call(*more: str, code: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *more]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each row of the table, by its name."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: rest for name, *rest in cells}


def test_a_row_is_measured_beside_open_clip(tmp_path: Path) -> None:
    found = tmp_path / "gpu.md"
    call("--tiny", "--only", "clip ViT-B-32, batch 32", "--out", str(found), code=0)
    text = found.read_text()
    (name,) = set(rows(text)) - {"what"}
    rate, *_, peer, ratio, more = rows(text)[name]
    assert name == "clip ViT-B-32, batch 32, bf16"
    assert float(rate) > 0 and float(peer) > 0 and ratio.endswith("x") and more == ""
    assert "torch 2." in text


def test_each_measurement_of_another_kind_runs(tmp_path: Path) -> None:
    found = tmp_path / "gpu.md"
    for name in (
        "host waits in a step, supervised",
        "checkpoint",
        "features of 224 px, RN50, bf16",
        "linear probe, 45 penalties, 1,640 images",
    ):
        call("--tiny", "--only", name, "--out", str(found), code=0)
        assert any(each.startswith(name) for each in rows(found.read_text()))


def test_what_does_not_fit_into_the_time_is_named() -> None:
    done = call("--tiny", "--minutes", "-1", "--only", "in 4 parts", "--json", code=0)
    assert {row["what"].partition(": ")[2] for row in json.loads(done.stdout)} == {
        "not measured: no time left"
    }


def test_tests_that_take_too_long_are_ended_and_counted() -> None:
    row = gpu_tests.run(seconds=1)
    assert row.failed
    assert row.found == "not finished after 1 s: 0 passed, 0 failed until then"


def test_all_tests_that_need_a_gpu_are_where_it_looks() -> None:
    mark = "pytest" + ".mark.gpu"
    marked = [path for path in ROOT.glob("tests/**/*.py") if mark in path.read_text()]
    assert marked and all(path.is_relative_to(ROOT / gpu_tests.FOLDER) for path in marked)


def test_a_process_that_died_is_replaced_for_the_next_row() -> None:
    with contextlib.closing(Child(Setting(tiny=True))) as child:
        for _ in range(2):
            assert "error" not in child.ask("device_assert", {}, seconds=60)
            for each in multiprocessing.active_children():
                each.kill()
                each.join()


def test_without_a_gpu_it_says_that_it_needs_one() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    done = call(code=1)
    assert done.stdout == ""
    assert done.stderr.startswith("benchmarks.gpu needs an NVIDIA GPU, and torch ")
    assert done.stderr.count("\n") == 1


def test_a_failed_row_stands_in_the_table_with_its_error() -> None:
    failed = Measured("clip", found="failed: RuntimeError: a | b", failed=True)
    text = markdown([Measured("simclr", rate=1234.5, mfu=0.41, peer=1000.0), failed], ["a card"])
    assert rows(text)["clip"][-1] == "failed: RuntimeError: a / b"
    assert rows(text)["simclr"][0] == "1,234" and rows(text)["simclr"][2] == "41%"
    assert rows(text)["simclr"][-2] == "1.23x"
    assert text.startswith("- a card\n")
