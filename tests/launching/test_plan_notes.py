"""What a dry run says of data, and of the machine: CPUs of a GPU, loading processes, fp32."""

import json
from pathlib import Path

import pytest

from hpc_xfer import launch
from tests.conftest import Command
from tests.tars import picture_folder

GRID = """
name: notes
pretrain: [{method: scratch, arch: RN50}]
finetune: {datasets: [digits], shots: [full], draws: 1, mode: [ft], lr: 1e-3MORE}
"""


def dry_run(folder: Path, more: str = "", *options: str, **slurm: object) -> None:
    grid, site = folder / "notes.yaml", folder / "site.yaml"
    grid.write_text(GRID.replace("MORE", more))
    site.write_text(json.dumps({"slurm": slurm}))
    arguments = [str(grid), "--site", str(site), "--store", str(folder / "store")]
    assert launch.main([*arguments, "--on", "slurm", "--dry-run", *options]) == 0


def test_the_cpus_of_a_gpu_are_those_of_its_node_and_stand_in_plan_and_script(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sinfo", "echo 'gpu*|n1|48|UNLIMITED|gpu:4'")
    command("scontrol", "exit 1")
    dry_run(tmp_path)
    shown = capsys.readouterr().out
    assert "CPUs for each GPU (cpus_per_gpu): 12\n" in shown
    assert "#SBATCH --cpus-per-task=12\n" in shown


def test_a_gpu_that_would_wait_and_fp32_are_named(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sinfo", "exit 1")
    dry_run(tmp_path, cpus_per_gpu=2, teraflops=50)
    slow = [line for line in capsys.readouterr().out.splitlines() if line.startswith("slow: ")]
    assert slow[0].startswith(
        "slow: ft of RN50 on digits: about 180 images/s come from 1 loading process, and "
    )
    assert slow[1].startswith("slow: 1 fine-tuning in fp32, at a quarter of bf16's speed")
    assert len(slow) == 2


def test_a_program_reads_the_same_notes(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sinfo", "exit 1")
    dry_run(tmp_path, "", "--json", cpus_per_gpu=2, teraflops=50)
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert [note.split(" in fp32")[0].split(" of RN50")[0] for note in notes][-2:] == [
        "slow: ft", "slow: 1 fine-tuning",
    ]  # fmt: skip


def test_what_a_data_set_leaves_out_is_told_before_a_launch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (picture_folder(tmp_path / "animals") / "train/dog/notes.txt").touch()
    grid, site = tmp_path / "a.yaml", tmp_path / "site.yaml"
    grid.write_text(GRID.replace("digits", "animals").replace("MORE", ""))
    site.write_text(json.dumps({"datasets": {"animals": "animals"}}))
    call = [str(grid), "--site", str(site), "--store", str(tmp_path / "store"), "--dry-run"]
    note = (
        "data set 'animals': train: 1 file without the suffix of an image is not used, the first "
        "dog/notes.txt"
    )
    assert launch.main([*call, "--on", "local"]) == 0
    assert note in capsys.readouterr().out.splitlines()
    assert launch.main([*call, "--on", "local", "--json"]) == 0
    assert note in json.loads(capsys.readouterr().out)["notes"]


def test_a_plan_that_is_well_served_has_no_such_lines(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sinfo", "exit 1")
    dry_run(tmp_path, ", precision: bf16", cpus_per_gpu=16, teraflops=20)
    assert "slow: " not in capsys.readouterr().out


def test_jobs_that_compute_on_the_cpu_starve_no_gpu(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sinfo", "exit 1")
    dry_run(tmp_path, cpus_per_gpu=2, environment={"HPC_XFER_DEVICE": "cpu"})
    assert "slow: " not in capsys.readouterr().out
