"""`launch a.yaml b.yaml` plans the union: what two studies share is run once."""

import json
from pathlib import Path

import pytest

from hpc_xfer import cancel, collect, launch, report, status
from hpc_xfer.errors import StudyError
from tests.fabricated import image_folder, source

BLOCK = "method: clip, arch: RN50, source: laion, epochs: 1, batch: 2000"
SIZES = f"""
name: sizes
pretrain: [{{{BLOCK}, samples: [8000, 16000]}}]
finetune: {{datasets: [flowers], shots: [1], draws: 2, tune: {{lr: [1e-4, 1e-3]}}}}
"""
METHODS = f"""
name: methods
pretrain:
  - {{{BLOCK}, samples: 16000}}
  - {{method: simclr, arch: RN50, source: laion, epochs: 1, batch: 2000, samples: 16000}}
finetune: {{datasets: [flowers], shots: [1], draws: 2, tune: {{lr: [1e-4, 1e-3]}}}}
"""


@pytest.fixture
def call(tmp_path: Path) -> list[str]:
    """Arguments of a command on both grids."""
    source(tmp_path / "laion", samples=16000)
    image_folder(tmp_path / "flowers", one=3, two=3)
    (tmp_path / "sizes.yaml").write_text(SIZES)
    (tmp_path / "methods.yaml").write_text(METHODS)
    site = tmp_path / "site.yaml"
    site.write_text(
        "store: store\nsources: {laion: laion}\ndatasets: {flowers: flowers}\n"
        "slurm: {cpus_per_gpu: 4}\n"
    )
    return [*(str(tmp_path / f"{name}.yaml") for name in ("sizes", "methods")), "--site", str(site)]


def test_a_dry_run_has_a_line_per_study_and_the_total_of_their_union(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main([*call, "--dry-run", "--on", "slurm"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "2 studies"
    assert [line.split()[:5] for line in lines[1:4]] == [
        ["study", "runs", "done", "shared", "to"],
        ["sizes", "10", "0", "0", "10"],
        ["methods", "10", "0", "5", "5"],
    ]
    assert lines[4].startswith("together 15 runs, 0 done, 15 to do; at most ")
    assert lines[5] == (
        "1 pre-training and 4 fine-tunings are in several studies: each is run once"
    )


def test_a_dry_run_of_rehearsals_shares_no_run_and_leaves_nothing(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each rehearsal has a store of its own, which a dry run removes with its stand-ins."""
    before = sorted(tmp_path.iterdir())
    assert launch.main([*call, "--dry-run", "--rehearse", "--stand-ins", "--on", "local"]) == 0
    told = capsys.readouterr()
    lines = [line.rstrip() for line in told.out.splitlines()]
    assert [line.split()[:5] for line in lines[2:4]] == [
        ["sizes-rehearsal", "10", "0", "0", "10"],
        ["methods-rehearsal", "10", "0", "0", "10"],
    ]
    assert lines[4].startswith("together 20 runs, 0 done, 20 to do; at most ")
    assert lines[5] == "each is rehearsed in a store of its own, with all its runs"
    assert sorted(tmp_path.iterdir()) == before and "remove it" not in told.err


def test_a_site_file_among_the_grids_is_left_out_and_told(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As in `launch grids/*.yaml`."""
    (tmp_path / "lab.site.yaml").write_text("store: ${STORE}\n")
    grids = [*call[:2], str(tmp_path / "lab.site.yaml"), *call[2:]]
    assert launch.main([*grids, "--dry-run", "--on", "local"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("2 studies ")
    assert told.err == f"left out, as site files: {tmp_path / 'lab.site.yaml'}\n"


def test_scripts_read_the_union_as_one_object(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert launch.main([*call, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [study["study"] for study in told["studies"]] == ["sizes", "methods"]
    union = told["union"]
    assert (union["runs"], union["to_do"], union["shared"]) == (
        15, 15, {"pretrain": 1, "finetune": 4},
    )  # fmt: skip
    assert sum(row["gpu_hours"] for row in union["studies"]) == union["gpu_hours"]
    assert not (tmp_path / "store").exists()


def test_mistakes_in_several_grids_are_told_together_and_nothing_starts(
    call: list[str], tmp_path: Path
) -> None:
    for name, text in (("sizes", SIZES), ("methods", METHODS)):
        (tmp_path / f"{name}.yaml").write_text(text.replace("draws: 2", "draws: two"))
    with pytest.raises(StudyError) as caught:
        launch.main([*call, "--on", "local"])
    assert [sentence.split(":")[0] for sentence in caught.value.sentences] == call[:2]
    assert not (tmp_path / "store").exists()


def test_two_studies_of_one_name_are_refused(call: list[str], tmp_path: Path) -> None:
    (tmp_path / "methods.yaml").write_text(METHODS.replace("name: methods", "name: sizes"))
    with pytest.raises(StudyError, match="has the name 'sizes', as"):
        launch.main([*call, "--dry-run"])


def test_status_and_cancel_answer_for_each_grid(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status.main(call) == 0
    told = capsys.readouterr().out
    assert told.count("nothing of this study has been launched") == 2
    assert told.startswith(f"== {call[0]}\n") and f"\n\n== {call[1]}\n" in told
    assert status.main([*call, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["studies"]) == 2
    assert cancel.main(call) == 1  # neither was launched
    assert capsys.readouterr().err.count("no study was launched here") == 2


def test_collect_and_report_write_tables_and_a_page_for_each_grid(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert collect.main(call) == 0
    told, warned = capsys.readouterr()
    assert f"{tmp_path / 'store'}: there is no store, so no run is done" in warned
    assert told.startswith(f"== {call[0]}\nsizes") and f"\n\n== {call[1]}\nmethods" in told
    assert collect.main([*call, "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert [each["set_aside"] for each in read["studies"]] == [0, 0]
    assert read["set_aside_files"] == [] and "set_aside" not in read
    assert report.main([*call, "--json"]) == 0
    pages = [study["report"] for study in json.loads(capsys.readouterr().out)["studies"]]
    studies = tmp_path / "store/studies"
    assert pages == [str(studies / f"{name}/report.html") for name in ("sizes", "methods")]
    assert all((studies / f"{name}/summary/cells.csv").is_file() for name in ("sizes", "methods"))


def test_a_grid_that_cannot_be_read_hinders_no_other(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "sizes.yaml").write_text(SIZES.replace("draws: 2", "draws: two"))
    assert collect.main(call) == 2
    told = capsys.readouterr()
    assert "draws" in told.err and "methods" in told.out


def test_tables_of_two_studies_do_not_go_to_one_folder(
    call: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        collect.main([*call, "--out", str(tmp_path / "out")])
    assert "--out takes one GRID, got 2" in capsys.readouterr().err


def test_a_study_without_a_run_that_only_selects_is_told_and_left_out(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main([*call, "--only", "method=simclr", "--dry-run", "--on", "slurm"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("methods\n")
    why = "--only method=simclr: no run has method 'simclr'; its values are: clip"
    assert told.err == f"left out: {call[0]}: {why}\n"
    assert status.main([*call, "--only", "method=simclr", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)["studies"]
    assert read[0] == {"grid": call[0], "left_out": why} and read[1]["study"] == "methods"


def test_what_no_grid_has_is_refused_with_the_name_of_each(call: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        launch.main([*call, "--only", "method=siglip", "--on", "local"])
    assert [sentence.split(": ")[0] for sentence in caught.value.sentences] == call[:2]
    with pytest.raises(StudyError, match="no run has method 'siglip'"):
        status.main([*call, "--only", "method=siglip"])


def test_what_looks_at_one_run_takes_one_grid(
    call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        status.main([*call, "--follow", "abc"])
    assert "--follow takes one GRID, got 2" in capsys.readouterr().err
