"""Tables show what differs; labels tell pre-trainings apart and seeds together."""

import json
from pathlib import Path

import pytest

from hpc_xfer.study.labels import (
    RunTitles,
    brief_label,
    differing_columns,
    label_columns,
    pretrain_labels,
    run_labels,
    short_count,
)
from hpc_xfer.study.plan import Plan, Run, make_plan
from hpc_xfer.study.study_file import load_study


def pretrainings(folder: Path, *blocks: str) -> tuple[Run, ...]:
    return planned(folder, "".join(f"  - {block}\n" for block in blocks)).of("pretrain")


def planned(folder: Path, pretrain: str, finetune: str = "") -> Plan:
    path = folder / "a.yaml"
    path.write_text(f"name: x\npretrain:\n{pretrain}{finetune}")
    return make_plan(load_study(path))


def labels(folder: Path, *blocks: str) -> list[str]:
    parents = pretrainings(folder, *blocks)
    found = pretrain_labels(parents)
    return [found[run.id] for run in parents]


def labels_of_runs(folder: Path, *blocks: str) -> list[str]:
    parents = pretrainings(folder, *blocks)
    found = run_labels(parents)
    return [found[run.id] for run in parents]


def titles(folder: Path, finetune: str) -> list[str]:
    """Titles of the fine-tunings of an encoder at random."""
    plan = planned(folder, "  - {method: scratch, arch: RN50}\n", f"finetune:\n{finetune}")
    told = RunTitles(plan)
    return [told.of(run).removeprefix("scratch -> ") for run in plan.of("finetune")]


def clip(**settings: object) -> str:
    base = {"method": "clip", "arch": "RN50", "source": "sans", "samples": 8000, "epochs": 1}
    return json.dumps({**base, "batch": 100, **settings})


def test_what_all_rows_share_is_told_apart_from_what_differs() -> None:
    rows: list[dict[str, object]] = [{"lr": 0.1, "seed": 0, "arch": "a"}, {"lr": 0.1, "seed": 1}]
    assert label_columns(rows) == ["lr", "seed", "arch"]
    assert differing_columns(rows) == ["seed", "arch"]


def test_no_rows_share_nothing() -> None:
    assert (label_columns([]), differing_columns([])) == ([], [])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (950, "950"), (1000, "1k"), (8000, "8k"), (999_499, "999k"), (1_500_000, "1.5M"),
        (2_700_000, "2.7M"), (15_000_000, "15M"), (400_000_000, "400M"), (2_320_000_000, "2.32B"),
        (999_999, "1M"), (999_500_000, "1B"), (999_999_999_999, "1000B"),
    ],
)  # fmt: skip
def test_counts_are_short(number: int, text: str) -> None:
    assert short_count(number) == text


def test_a_label_is_method_source_and_size(tmp_path: Path) -> None:
    scratch = "{method: scratch, arch: RN50}"
    released = "{method: released, arch: RN50, weights: openai}"
    siglip = clip(method="siglip")
    found = labels(tmp_path, clip(samples=[8000, 16000]), siglip, scratch, released)
    assert found == [
        *("clip sans 8k", "clip sans 16k", "siglip sans 8k", "scratch", "released openai")
    ]


def test_mixtures_and_selections_are_named_in_labels(tmp_path: Path) -> None:
    mixture = clip(source=["sans", {"serif": 1, "sans": 1}, {"sans": 0.3, "serif": 0.7}])
    assert labels(tmp_path, mixture) == [
        "clip sans 8k", "clip sans+serif 8k", "clip sans 30%+serif 70% 8k",
    ]  # fmt: skip
    chosen = clip(select=[None, {"best": {"clip_score": 0.3}}, {"per_class": 100}])
    assert labels(tmp_path, chosen) == [
        "clip sans 8k", "clip sans best 30% clip_score 8k", "clip sans 100 per class 8k",
    ]  # fmt: skip


def test_seeds_share_a_label(tmp_path: Path) -> None:
    assert labels(tmp_path, clip(seed=[0, 1, 2])) == ["clip sans 8k"] * 3


def test_a_setting_stands_in_the_label_only_where_it_tells_two_apart(tmp_path: Path) -> None:
    found = labels(tmp_path, clip(lr=[1e-3, 1e-4]), clip(source="serif", lr=0.5))
    assert found == ["clip sans 8k lr=0.001", "clip sans 8k lr=0.0001", "clip serif 8k"]
    found = labels(tmp_path, clip(epochs=[1, 2]))
    assert found == ["clip sans 8k samples_seen=8k", "clip sans 8k samples_seen=16k"]


def test_sizes_that_round_to_one_text_are_said_in_full(tmp_path: Path) -> None:
    assert labels(tmp_path, clip(samples=[2_700_000, 2_701_000], samples_seen=9000, epochs=None)
        .replace('"epochs": null, ', "")) == [
        "clip sans 2.7M samples=2700000", "clip sans 2.7M samples=2701000",
    ]  # fmt: skip


def test_two_architecture_files_of_one_name_are_told_apart_by_a_tag(tmp_path: Path) -> None:
    for folder, width in (("a", 8), ("b", 16)):
        (tmp_path / folder).mkdir()
        content = {"embed_dim": 8, "vision_cfg": {"layers": [1, 1, 1, 1], "width": width}}
        (tmp_path / folder / "net.json").write_text(json.dumps(content))
    first, second = labels(tmp_path, "{method: scratch, arch: [a/net.json, b/net.json]}")
    assert first != second
    assert first.startswith("scratch #") and second.startswith("scratch #")


def test_the_label_of_a_run_tells_its_seed_where_runs_share_a_label(tmp_path: Path) -> None:
    found = labels_of_runs(tmp_path, clip(seed=[0, 1, 2]), clip(samples=16000, seed=7))
    assert found == [
        "clip sans 8k seed 0", "clip sans 8k seed 1", "clip sans 8k seed 2", "clip sans 16k",
    ]  # fmt: skip
    found = labels_of_runs(tmp_path, clip(lr=[1e-3, 1e-4], seed=[0, 1]))
    assert found[1:3] == ["clip sans 8k lr=0.001 seed 1", "clip sans 8k lr=0.0001 seed 0"]


def test_no_two_runs_have_one_label(tmp_path: Path) -> None:
    """Neither seeds of an architecture whose file has the name of another, nor released ones."""
    for folder, width in (("a", 8), ("b", 16)):
        (tmp_path / folder).mkdir()
        content = {"embed_dim": 8, "vision_cfg": {"layers": [1, 1, 1, 1], "width": width}}
        (tmp_path / folder / "net.json").write_text(json.dumps(content))
    scratch = "{method: scratch, arch: [a/net.json, b/net.json], seed: [0, 1]}"
    released = "{method: released, arch: [RN50, ViT-B-32], weights: openai}"
    found = labels_of_runs(tmp_path, scratch, released)
    assert len(set(found)) == len(found) == 6


def test_a_long_label_is_cut_but_keeps_its_seed() -> None:
    one, two = (brief_label(f"clip {'x' * 80} seed {seed}") for seed in (1, 2))
    assert one.startswith("clip xxx") and one.endswith(" seed 1") and len(one) <= 67
    assert two.endswith(" seed 2")
    assert brief_label("clip sans 8k seed 1") == "clip sans 8k seed 1"


def test_a_title_tells_each_setting_in_which_fine_tunings_of_one_place_differ(
    tmp_path: Path,
) -> None:
    block = "  datasets: [digits]\n  shots: [5]\n  draws: 1\n  mode: [ft]\n"
    tuned = "  lr: 1e-3\n  tune: {weight_decay: [0.1, 0.01], epochs: [8, 16]}\n"
    assert titles(tmp_path, block + tuned) == [
        f"digits 5 shots, draw 0, ft, lr 0.001, weight decay {decay}, epochs {epochs}"
        for decay in ("0.1", "0.01")
        for epochs in (8, 16)
    ]


def test_a_title_names_the_solver_where_there_are_two(tmp_path: Path) -> None:
    block = "  - {datasets: [digits], shots: [5], draws: 1, mode: [lp], solver: %s}\n"
    assert titles(tmp_path, block % "ridge" + block % "logistic") == [
        "digits 5 shots, draw 0, lp, solver ridge", "digits 5 shots, draw 0, lp, solver logistic",
    ]  # fmt: skip


def test_settings_that_round_alike_are_told_apart(tmp_path: Path) -> None:
    block = "  datasets: [digits]\n  shots: [5]\n  draws: 1\n  tune: {lr: [0.3, %r]}\n"
    assert titles(tmp_path, block % (0.1 + 0.2)) == [
        "digits 5 shots, draw 0, ft, lr 0.3", "digits 5 shots, draw 0, ft, lr 0.30000000000000004",
    ]  # fmt: skip


def test_a_setting_that_is_null_is_called_none(tmp_path: Path) -> None:
    block = clip(grad_clip=[1.0, None])
    assert labels(tmp_path, block) == ["clip sans 8k grad_clip=1.0", "clip sans 8k grad_clip=none"]
    block = "  - {datasets: [digits], shots: [5], draws: 1, lr: 1, grad_clip: %s}\n"
    assert titles(tmp_path, block % 1 + block % "null") == [
        "digits 5 shots, draw 0, ft, lr 1, grad clip 1",
        "digits 5 shots, draw 0, ft, lr 1, grad clip none",
    ]


def test_epochs_that_follow_the_shots_are_in_no_title(tmp_path: Path) -> None:
    block = "  datasets: [digits]\n  shots: [1, 5]\n  draws: 1\n  mode: [ft]\n"
    more = "  epochs: {1: 128, 5: 64}\n  lr: 1e-3\n"
    assert titles(tmp_path, block + more) == [
        "digits 1 shots, draw 0, ft, lr 0.001", "digits 5 shots, draw 0, ft, lr 0.001",
    ]  # fmt: skip
