"""docs/data.md is true: each command in it prints what the page shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import data_page
from tests.conftest import ROOT
from tests.shown_outputs import fits, typed

PAGE = (ROOT / "docs/data.md").read_text(encoding="utf-8")
PROGRESS = re.compile(".*: [0-9,]+ of [0-9,]+(, |$)")  # for a person who waits
FENCES = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


def printed(command: str, folder: Path) -> list[str]:
    """What a command prints, then its errors, with the folder cut off."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "110", "HPC_XFER_DEVICE": "cpu"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).replace(f"{folder}/", "").splitlines()
    return [line.rstrip() for line in lines if line.strip() and not PROGRESS.match(line)]


@pytest.mark.slow
def test_each_command_prints_what_the_page_shows(tmp_path: Path) -> None:
    data_page.lay_out(tmp_path)
    wrong = []
    for language, text in FENCES:
        if name := re.match(r"# ([\w/.]+)\b", text):  # the first line names the file
            path = tmp_path / name[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        for command, shown in typed(text) if language == "console" else ():
            lines = printed(command, tmp_path)
            if not fits(shown, lines):
                wrong.append("\n".join([f"$ {command}", *lines]))
    assert not wrong, "\n\n".join(wrong)
