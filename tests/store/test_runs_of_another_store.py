"""Runs that were done in one store count in another one, once their folders are copied there."""

import shutil
from pathlib import Path

import pytest

from hpc_xfer import status
from tests import fabricated


def test_copied_runs_are_done_for_the_studies_of_their_new_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, plan, store = fabricated.make(tmp_path)
    done = plan.of("pretrain")
    fabricated.record_all(store, done)
    for run in done:
        store.run(run.id).encoder.touch()
    shutil.copytree(tmp_path / "store/runs", tmp_path / "other/runs")
    call = [str(tmp_path / "grid.yaml"), "--store", str(tmp_path / "other")]
    assert status.main(call) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"{len(done)} of its {len(plan.runs)} runs were done for other studies" in told
