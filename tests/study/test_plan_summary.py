"""The plan as a reader sees it before anything runs."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from hpc_xfer import launch
from hpc_xfer.config import architectures
from hpc_xfer.store.store import Store
from hpc_xfer.study import plan_summary
from hpc_xfer.study.cost_estimate import ImageCounts, RunCosts, Speed
from hpc_xfer.study.selected.only import part_of, selected
from tests.fabricated import GRID, image_folder, make, record, source

COST = """\
resources:
  pretrain: {gpus: 4, minutes: 90}
  finetune: {minutes: {1: 2, full: 20}, target_minutes: 10}
"""

TABLE = """\
tiny: Does pre-training help?
pre-training
run           method   samples  samples_seen  GPUs  minutes  state
e72b0749d5be  clip       8,000         8,000     4       90  to do
953ddf1857af  clip      16,000        16,000                 done
077768641f51  scratch                                        done
shared: arch RN50, seed 0
clip: source sans, subset_seed 0, batch 100, lr 0.001, weight_decay 0.1, warmup_steps 5,000,
betas [0.9, 0.999], eps 1e-08, grad_clip 1.0, crop ratio=[0.75, 1.333] scale=[0.9, 1.0], flip
False, precision fp32, max_broken 0.001, max_logit_scale 100.0
fine-tuning
data set  shots  parents  runs  done  packs  minutes
digits        1        3    18     1      5       34
digits     full        3    18     0     18      360
mnist         1        3    18     0      6       36
mnist      full        3    18     0     18      360
ft: validation few, val_fraction 0.2, precision fp32, weight_decay 0.1, epochs 128, min_steps
50, batch 128, warmup_steps 500, warmup_cap True, grad_clip 1.0, label_smoothing 0.0, head auto,
seed 0, crop scale=[0.08, 1.0] ratio=[0.75, 1.333], flip True, randaugment True, erase 0.25,
batch_norm train, decay_all False, select validation, lr in {0.0001, 0.001} (chosen over all
draws), draws 3
75 runs, 3 done, 72 to do in 48 packs; at most 19.2 GPU-hours, 4.49 GB of disk"""

ONE_RELEASED = """
name: one
pretrain: [{method: released, arch: convnext_base, weights: laion400m}]
finetune:
  - {datasets: [digits], shots: [1], draws: 1, lr: 1e-3}
  - {datasets: [digits], shots: [5], draws: 1, lr: 1e-2, epochs: 3}
"""


def rendered(folder: Path, grid: str, done: int = 0) -> str:
    study, plan, _ = make(folder, grid)
    text = io.StringIO()
    console = Console(file=text, width=96, highlight=False)
    console.print(plan_summary.render(study, plan, {run.id for run in plan.runs[1 : 1 + done]}))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def test_what_is_shared_is_said_once_and_what_differs_per_row(tmp_path: Path) -> None:
    assert rendered(tmp_path, GRID + COST, done=3) == TABLE


def test_settings_that_blocks_say_differently_are_named(tmp_path: Path) -> None:
    text = " ".join(rendered(tmp_path, ONE_RELEASED).split())
    assert "lr 0.001 or 0.01, weight_decay 0.1, epochs 128 or 3, min_steps 50" in text
    assert "weights laion400m" in text
    assert text.endswith("3 runs, 0 done, 3 to do in 3 packs; at most 0.7 GPU-hours, disk unknown")


def test_estimated_minutes_are_said_to_be_estimated(tmp_path: Path) -> None:
    study, plan, _ = make(tmp_path, GRID)
    counts = {name: ImageCounts(900, 900, 10) for name in ("digits", "mnist")}
    text = io.StringIO()
    priced = plan.with_costs(RunCosts(counts, Speed(5e12)))
    Console(file=text, width=120).print(plan_summary.render(study, priced, set()))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert "minutes of fine-tunings: estimated for 5 TFLOP/s" in lines


def test_rows_share_the_minutes_of_packs_that_hold_runs_of_several(tmp_path: Path) -> None:
    text = rendered(tmp_path, GRID + "resources: {finetune: {minutes: 1, target_minutes: 60}}\n")
    rows = [line.split() for line in text.splitlines() if line.startswith(("digits", "mnist"))]
    assert [row[-2:] for row in rows] == [["3", "18"]] * 4


def test_json_tells_the_same_to_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, plan, store = make(tmp_path, GRID + COST)
    record(store, plan.runs[3])
    site = tmp_path / "site.yaml"
    shards = tmp_path / "sans"
    source(shards, samples=16000)
    (tmp_path / "mnist").symlink_to(image_folder(tmp_path / "images", one=3, two=3))
    site.write_text(f"store: {store.root}\nsources: {{sans: sans}}\ndatasets: {{mnist: mnist}}\n")
    call = [str(tmp_path / "grid.yaml"), "--site", str(site), "--dry-run", "--json"]
    assert launch.main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"], told["study"]) == (1, "tiny")
    assert told["counts"] == {"runs": 75, "done": 1, "to_do": 74, "packs": 50}
    assert told["minutes_from"] == "given"
    assert [run["run"] for run in told["runs"]] == [run.id for run in plan.runs]
    assert [run["run"] for run in told["runs"] if run["done"]] == [plan.runs[3].id]
    first = told["runs"][0]
    assert (first["label"], first["parents"], first["recipe"]["samples"]) == (
        "clip sans 8k", [], 8000,
    )  # fmt: skip
    packed = sorted(run for pack in told["packs"] for run in pack["runs"])
    assert packed == sorted({run.id for run in plan.runs} - {plan.runs[3].id})
    assert {(pack["wave"], pack["gpus"]) for pack in told["packs"]} == {(0, 4), (0, 1), (1, 1)}
    assert not Store(store.root).study("tiny").path.exists()  # a dry run writes nothing


CLIP = "{method: clip, arch: RN50, source: laion, samples: 8000, epochs: 1, batch: 100, init: INIT}"
WITHOUT = "{method: simclr, arch: RN50, source: laion, samples: 8000, epochs: 1, batch: 100}"


@pytest.mark.parametrize(
    ("blocks", "shown"),
    [
        (CLIP.replace("INIT", "[null, openai]"), [["clip", "1"], ["clip", "openai"]]),
        (f"{CLIP.replace('INIT', 'openai')}, {WITHOUT}", [["clip", "openai"], ["simclr", "1"]]),
    ],
    ids=["of one method", "of one of two methods"],
)
def test_a_setting_that_only_some_runs_have_is_a_column(
    blocks: str, shown: list[list[str]], tmp_path: Path
) -> None:
    text = rendered(tmp_path, f"name: starts\npretrain: [{blocks}]\n")
    assert "run           method  init    GPUs  minutes" in text
    rows = [line.split() for line in text.splitlines() if "to do" in line]
    assert [row[1:3] for row in rows][:2] == shown


def test_the_cache_is_counted_apart_from_what_a_run_cannot_do_without(tmp_path: Path) -> None:
    plan = make(tmp_path, GRID)[1]
    assert plan_summary.cache_bytes(plan) == 0  # nobody counted the images
    digits, mnist = (ImageCounts(n, n, 10, in_files=False) for n in (900, 5_000))
    counted = plan.with_costs(RunCosts({"digits": digits, "mnist": mnist}, Speed(1e12)))
    assert plan_summary.disk_bytes(counted) == plan_summary.disk_bytes(plan)
    images = 2 * (900 + 5_000)
    assert (
        0
        < plan_summary.cache_bytes(counted)
        <= images * 1024 * 4 * len(plan.of("pretrain")) + (images * 3 * 224 * 224)
    )


def test_checkpoints_of_a_locked_tower_have_no_moments(tmp_path: Path) -> None:
    grid = """
name: locked
pretrain:
  - {method: clip, arch: RN50, source: laion, samples: 8000, epochs: 1, batch: 100, init: openai}
"""
    free = plan_summary.disk_bytes(make(tmp_path, grid)[1])
    locked = plan_summary.disk_bytes(make(tmp_path, grid.replace("init", "lock: image, init"))[1])
    image, _ = architectures.parameters("RN50") or (0, 0)
    assert free is not None and locked is not None
    assert free - locked == 3 * 2 * 4 * image  # three checkpoints, two moments, in fp32


def test_pretrainings_that_get_no_trial_are_told_and_not_those_that_only_leaves_out(
    tmp_path: Path,
) -> None:
    block = "method: clip, arch: RN50, samples: 2k, epochs: 1"
    lp = "datasets: pets, draws: 1, mode: lp"
    grid = (
        f"name: some\npretrain: [{{name: a, source: web, {block}}}, {{name: b, source: news, "
        f"{block}}}, {{name: c, source: film, {block}}}]\n"
        f"finetune: [{{{lp}, shots: 1, parents: [a, b]}}, {{{lp}, shots: 5, parents: b}}]\n"
    )
    assert "no fine-tuning starts from 1 pre-training: clip film 2k" in rendered(tmp_path, grid)
    study, plan, _ = make(tmp_path, grid)
    part = part_of(plan, selected(plan, ["shots=5", f"run={plan.runs[0].id}"]))
    console = Console(file=(text := io.StringIO()), width=120)
    console.print(plan_summary.render(study, part, set()))
    assert "no fine-tuning starts" not in text.getvalue()


def test_a_long_value_hides_no_id_and_no_state(tmp_path: Path) -> None:
    templates = ", ".join(f"'a {kind} of a {{}}.'" for kind in ("photo", "picture", "drawing"))
    grid = f"""
name: captions
pretrain:
  - method: clip
    arch: RN50
    source: {{sans: 1, serif: 1}}
    samples: 8000
    epochs: 1
    batch: 100
    caption: [txt, {{templates: [{templates}]}}, {{by_source: {{sans: {{keys: [title, tags]}}}}}}]
"""
    _, plan, _ = make(tmp_path, grid)
    lines = rendered(tmp_path, grid).splitlines()
    runs = plan.of("pretrain")
    assert all(any(line.startswith(run.id) for line in lines) for run in runs)
    shown = " ".join(" ".join(lines).split())
    assert shown.count(", to do") == len(runs)
    assert all(word in shown for word in ("photo", "picture", "drawing", "title", "tags")), lines
