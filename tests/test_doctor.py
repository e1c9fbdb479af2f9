"""`doctor` tells what it has found, also where it cannot go on."""

import json
from pathlib import Path

import pytest

from hpc_xfer import doctor
from hpc_xfer.errors import StoreError
from tests.fabricated import source

GRID = """
name: early
pretrain: [{method: clip, arch: RN50, source: laion, samples: 8000, epochs: 1, batch: 100}]
finetune: {datasets: [flowers], shots: [1], mode: lp}
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A study that lacks a data set, and a store to which everybody may write."""
    for name in ("sbatch", "squeue", "sinfo", "scontrol"):  # of a Slurm that has nothing to tell
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    source(tmp_path / "laion", samples=8000)
    (tmp_path / "grid.yaml").write_text(GRID)
    site = tmp_path / "site.yaml"
    site.write_text(
        f"store: {tmp_path}/store\nsources: {{laion: laion}}\nslurm: {{cpus_per_gpu: 4}}\n"
    )
    return [str(tmp_path / "grid.yaml"), "--site", str(site)]


def test_what_was_found_is_told_where_doctor_cannot_go_on(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreError, match="everybody"):
        doctor.main(call)
    told = " ".join(capsys.readouterr().out.split())
    assert "inputs" in told and "data set 'flowers'" in told

    with pytest.raises(StoreError):
        doctor.main([*call, "--json"])
    wrong, *_ = json.loads(capsys.readouterr().out)["verdicts"]
    assert wrong["what"] == "inputs" and "data set 'flowers'" in wrong["found"]
