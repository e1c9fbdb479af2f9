"""Tables show what differs; labels tell pre-trainings apart and seeds together."""

import json
from pathlib import Path

import pytest

from hpc_xfer.study.labels import (
    differing_columns,
    label_columns,
    pretrain_labels,
    shared_columns,
    short_count,
)
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import load_study


def labels(folder: Path, *blocks: str) -> list[str]:
    path = folder / "a.yaml"
    path.write_text("name: x\npretrain:\n" + "".join(f"  - {block}\n" for block in blocks))
    parents = make_plan(load_study(path)).of("pretrain")
    found = pretrain_labels(parents)
    return [found[run.id] for run in parents]


def clip(**settings: object) -> str:
    base = {"method": "clip", "arch": "RN50", "source": "sans", "samples": 8000, "epochs": 1}
    return json.dumps({**base, "batch": 100, **settings})


def test_what_all_rows_share_is_told_apart_from_what_differs() -> None:
    rows: list[dict[str, object]] = [{"lr": 0.1, "seed": 0, "arch": "a"}, {"lr": 0.1, "seed": 1}]
    assert label_columns(rows) == ["lr", "seed", "arch"]
    assert differing_columns(rows) == ["seed", "arch"]
    assert shared_columns(rows) == {"lr": 0.1}


def test_no_rows_share_nothing() -> None:
    assert (label_columns([]), differing_columns([]), shared_columns([])) == ([], [], {})


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
