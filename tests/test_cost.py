"""`python -m hpc_xfer.cost`: what studies cost, without data and without a cluster."""

import json
import re
from pathlib import Path

import pytest

from hpc_xfer import cost
from hpc_xfer.errors import StudyError
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study
from tests.conftest import ROOT, Command
from tests.fabricated import record, record_all

PAGE = ROOT / "docs/cost.md"
SMALL = """
name: small
pretrain: [{method: simclr, arch: RN50, source: yfcc, samples: 1_000_000, epochs: 2}]
finetune: {datasets: [pets], shots: [5], draws: 3, mode: [lp]}
resources: {pretrain: {gpus: 2}}
"""


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)  # the store is ./runs
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PATH", "/usr/bin/none")  # no Slurm
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def test_tables_and_sentences_say_what_it_costs(
    grid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost.main([grid, "--gpu", "a100", "--gpus", "2,8"]) == 0
    told = capsys.readouterr().out
    lines = [line.rstrip() for line in told.splitlines()]
    assert lines[0] == "cost by stage"
    assert lines[2].startswith("simclr RN50 yfcc 1M x2 ")
    assert any(line.startswith("4 runs take ") for line in lines)
    assert any(line.startswith("from launch to report: on 2 GPUs ") for line in lines)
    assert "the numbers rest on: FLOPs, A100-40" in lines
    assert "8 CPUs for each GPU are assumed: the site file has no cpus_per_gpu" in lines


def test_scripts_get_ranges(grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    cost.main([grid, "--json", "--gpus", "2", "--preempt-per-day", "0.5", "--queue-wait", "5-60"])
    told = json.loads(capsys.readouterr().out)
    assert told["studies"] == ["small"] and told["runs"] == 4
    low, high = told["gpu_hours"]
    assert 0 < low < high
    (on,) = told["on_gpus"]
    assert on["gpus"] == 2 and len(on["busy_gpus"]) == 10
    assert on["pretrain_seconds"][1] < on["seconds"][1]
    assert {stage["kind"] for stage in told["stages"]} == {
        "pretrain", "finetune", "cache", "relay"
    }  # fmt: skip
    assert not list(Path().glob("runs"))  # it leaves nothing behind


def test_grids_that_share_runs_cost_less_than_both(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(SMALL.replace("small", "other").replace("draws: 3", "draws: 5"))
    told = []
    for call in ([grid], [str(other)], [grid, str(other)]):
        cost.main([*call, "--json"])
        told.append(json.loads(capsys.readouterr().out)["runs"])
    assert told == [4, 6, 6]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--gpus", "8,x"),
        ("--gpus", "0"),
        ("--gpus", "²"),
        ("--preempt-per-day", "-1"),
        ("--queue-wait", "60-5"),
    ],
)
def test_a_wrong_option_is_named(
    grid: str, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cost.main([grid, option, value])
    assert caught.value.code == 2 and f"argument {option}: '{value}' is not" in (
        capsys.readouterr().err
    )


def test_a_part_and_changes_of_a_grid_are_estimated(
    grid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for more in ([], ["--only", "method=simclr"], ["--set", "finetune.draws=9"]):
        cost.main([grid, "--json", *more])
        told.append(json.loads(capsys.readouterr().out)["runs"])
    assert told == [4, 4, 10]
    cost.main([grid, "--json", "--only", "draw=0"])
    assert json.loads(capsys.readouterr().out)["runs"] == 2  # with the pre-training that it needs
    with pytest.raises(StudyError, match="--only mode=ft: no run has mode 'ft'"):
        cost.main([grid, "--only", "mode=ft"])


def test_every_wrong_grid_is_named_and_one_without_such_runs_is_left_out(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudyError) as caught:
        cost.main([grid, "no.yaml", "nor.yaml"])
    assert [text.partition(":")[0] for text in caught.value.sentences] == ["no.yaml", "nor.yaml"]
    other = tmp_path / "other.yaml"
    other.write_text(SMALL.replace("small", "other").replace("yfcc", "laion"))
    cost.main([grid, str(other), "--only", "source=laion", "--json"])
    told = capsys.readouterr()
    assert json.loads(told.out)["studies"] == ["other"] and f"left out: {grid}" in told.err


def test_several_cards_are_a_range_from_the_slowest_to_the_fastest(
    grid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hours, told = {}, {}
    for cards in ("a100", "h100", "a100,h100"):
        cost.main([grid, "--gpu", cards, "--json"])
        told[cards] = json.loads(capsys.readouterr().out)
        hours[cards] = told[cards]["gpu_hours"]
    assert hours["a100,h100"] == [hours["h100"][0], hours["a100"][1]]
    assert told["a100,h100"]["rests_on"] == "FLOPs, A100-40 or H100"
    with pytest.raises(StudyError, match="--gpu a100,t4: unknown card 't4'; name one of"):
        cost.main([grid, "--gpu", "a100,t4"])


def test_where_no_slurm_answers_its_limits_are_assumed_in_one_sentence(
    grid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cost.main([grid, "--json"])
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert [line for line in notes if "arrays" in line] == [
        "the times rest on arrays of 1,001, no limit of jobs in the queue and no time limit of the "
        "partition (assumed, as no Slurm answers here)"
    ]


def test_limits_and_cards_are_those_that_slurm_tells(
    grid: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command("sbatch", "exit 1")
    command("scontrol", "echo 'MaxArraySize            = 21\nMaxJobCount             = 60'")
    command("sacctmgr", "exit 1")
    command(
        "sinfo",
        """case "$*" in
      *%l*) echo 'gpu*|2:00:00' ;;
      *%c*) echo 'gpu*|n1|64|UNLIMITED|gpu:h100:4' ;;
      *) echo 'gpu*|gpu:h100:4'; echo 'gpu*|gpu:v100:4,gpu:t4:1'; echo 'old|gpu:a100:4' ;;
    esac""",
    )
    cost.main([grid, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["rests_on"] == "FLOPs, H100 or V100-16"
    assert told["notes"][:2] == [
        "the nodes of the partition have H100 and V100-16, as Slurm lists them; t4 has no rates",
        "the times rest on arrays of 21, 54 jobs in the queue and at most 120 minutes for a job "
        "(asked of Slurm)",
    ]


def test_a_site_without_gpus_is_told_of_cpus_alone(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("slurm: {gpu_option: none, partition: cpu}")
    assert cost.main([grid, "--site", str(site)]) == 0
    told = capsys.readouterr().out
    assert "CPU-hours" in told and "time on so many CPUs" in told and "GPU" not in told


def test_a_card_of_the_call_makes_gpus_of_the_cpus_of_a_site(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site.yaml"
    sites = ("{gpu_option: none}", "{environment: {HPC_XFER_DEVICE: cpu}}", "{gpu_type: v100}")
    told = []
    for slurm in sites:
        site.write_text(f"slurm: {slurm}")
        cost.main([grid, "--site", str(site), "--gpu", "a100,h100", "--json"])
        told.append(json.loads(capsys.readouterr().out))
    assert [each["unit"] for each in told] == ["GPU"] * 3
    assert told[0]["gpu_hours"] == told[1]["gpu_hours"] == told[2]["gpu_hours"]
    assert told[0]["notes"][0].startswith("jobs of this site compute on CPUs; the estimate is for")


@pytest.mark.parametrize(
    "more", [["--preempt-per-day", "50"], ["--set", "resources.pretrain.minutes=1"]]
)
def test_hours_that_preemption_and_time_limits_add_are_shown(
    grid: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call = [grid, "--gpu", "a100", "--gpus", "2", *more]
    assert cost.main(call[:-2]) == 0 and "GPU-hours taken" not in capsys.readouterr().out
    assert cost.main(call) == 0 and "GPU-hours taken" in capsys.readouterr().out
    assert cost.main([*call, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["on_gpus"][0]["gpu_hours"][1] > 1.01 * told["gpu_hours"][1]


def test_disk_that_nobody_counts_is_null_for_scripts(
    grid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cost.main([grid, "--json", "--set", "pretrain.0.arch=convnext_base"])
    told = json.loads(capsys.readouterr().out)
    assert told["disk_bytes"] is told["peak_disk_bytes"] is told["stages"][0]["disk_bytes"] is None
    assert told["stages"][1]["disk_bytes"] is not None


def test_records_on_another_card_are_counted_and_not_used(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "runs")
    for run in make_plan(load_study(Path(grid))).of("pretrain"):
        record(store, run, samples_per_second=1000.0)
        path = store.run(run.id).record
        path.write_text(path.read_text().replace('"gpu": "A100"', '"gpu": "V100", "ranks": 2'))
    cost.main([grid, "--json", "--gpu", "a100"])
    assert (
        "1 finished pre-training on V100: not used, as the estimate is for A100-40; --gpu names a "
        "card"
    ) in json.loads(capsys.readouterr().out)["notes"]
    cost.main([grid, "--json", "--gpu", "v100"])
    assert "not used" not in capsys.readouterr().out


def test_nothing_left_to_run_costs_nothing(
    grid: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, plan = Store(tmp_path / "runs"), make_plan(load_study(Path(grid)))
    record_all(store, plan.runs)
    store.run(plan.runs[0].id).encoder.touch()
    assert cost.main([grid, "--gpu", "a100"]) == 0
    told = capsys.readouterr().out
    assert "0 runs take 0 GPU-hours; 0 B of disk, 0 B at the peak on 4 GPUs; 0 files" in told
    assert "4 runs are done and cost nothing more" in told
    assert "cost by stage" not in told and "from launch to report" not in told


def test_too_few_gpus_for_a_job_are_told(grid: str) -> None:
    with pytest.raises(StudyError, match="a job needs 2 GPUs and there are 1; give --gpus 2"):
        cost.main([grid, "--gpus", "1"])


def test_the_command_of_the_page_prints_its_tables(
    grid: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = re.findall(r"^\$ python -m hpc_xfer.cost (.*)$", PAGE.read_text(), re.MULTILINE)
    store = Path("runs").absolute()
    monkeypatch.chdir(ROOT)
    assert cost.main([*line.split(), "--store", str(store)]) == 0
    told = capsys.readouterr().out
    assert "cost by stage" in told and "time on so many GPUs" in told
