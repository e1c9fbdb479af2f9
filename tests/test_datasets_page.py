"""docs/datasets.md is true: `list` and `check` print what the page shows."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpc_xfer import datasets
from tests import pages
from tests.shown_outputs import fits, typed

PAGE = "docs/datasets.md"
SHOWN = {
    command: lines for fence in pages.fences(PAGE, "console") for command, lines in typed(fence)
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that the page calls /data: plants with one damaged and one copied image."""
    number = 0
    for split, sizes in (("train", (40, 40)), ("test", (11, 10))):
        for name, size in zip(("fern", "moss"), sizes, strict=True):
            (tmp_path / "plants" / split / name).mkdir(parents=True)
            for i in range(size):
                pixels = np.random.default_rng(number).integers(0, 255, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / f"plants/{split}/{name}/{i:03}.png")
                number += 1
    train = tmp_path / "plants/train"
    (train / "moss/017.png").write_text("<html>")
    (tmp_path / "plants/test/fern/003.png").write_bytes((train / "fern/003.png").read_bytes())
    (tmp_path / "site.yaml").write_text(
        f"datasets: {{dtd: {tmp_path}/dtd-old, plants: {tmp_path}/plants}}\n"
    )
    return tmp_path


@pytest.mark.parametrize("words", ["list", "check plants"])
def test_a_command_prints_what_the_page_shows(
    words: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setattr(sys, "argv", ["datasets"])
    assert datasets.main([*words.split(), "--site", "site.yaml"]) == 1
    printed = capsys.readouterr().out.replace(str(data), "/data")
    lines = [re.sub(r"[0-9a-f]{64}", "DIGEST", line.rstrip()) for line in printed.splitlines()]
    shown = SHOWN[f"python -m hpc_xfer.datasets {words} --site site.yaml"]
    shown = [re.sub(r"[0-9a-f]{64}", "DIGEST", line) for line in shown]
    assert fits(shown, lines), "\n".join(lines)
