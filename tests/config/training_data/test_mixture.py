"""Mixtures of sources: exact shares, nested sizes, one run for one meaning."""

from collections.abc import Mapping
from typing import Any

import pytest

from hpc_xfer.config.recipes import Clip, Trained
from hpc_xfer.config.schema import validate
from hpc_xfer.config.training_data.mixture import split, whole_shares
from hpc_xfer.study.plan import Run

BASE: dict[str, Any] = {
    "method": "clip", "arch": "RN50", "source": "laion", "samples": 10_000, "samples_seen": 10_000,
}  # fmt: skip


def recipe(**changes: Any) -> Trained:
    made, errors = validate(Clip, {**BASE, **changes})
    assert made is not None, errors
    return made


def refusal(**changes: Any) -> str:
    _, [(loc, why)] = validate(Clip, {**BASE, **changes})
    return f"{'.'.join(map(str, loc))}: {why}" if loc else why


def run_id(source: object) -> str:
    return Run("pretrain", recipe(source=source)).id


def test_shares_are_the_smallest_whole_numbers_of_their_ratio() -> None:
    assert whole_shares({"yfcc": 0.5, "laion": 0.5}) == {"laion": 1, "yfcc": 1}
    assert whole_shares({"a": 0.1, "b": 0.2, "c": 0.7}) == {"a": 1, "b": 2, "c": 7}
    assert whole_shares({"a": 3, "b": 1.5}) == {"a": 2, "b": 1}


@pytest.mark.parametrize("shares", [{"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 7}, {"a": 5, "b": 3}])
def test_each_source_of_a_smaller_size_is_inside_that_of_a_larger_one(
    shares: Mapping[str, int],
) -> None:
    before = split(0, shares)
    for samples in range(1, 500):
        parts = split(samples, shares)
        assert sum(parts) == samples
        assert all(part >= small for part, small in zip(parts, before, strict=True))
        whole = sum(shares.values())
        for part, share in zip(parts, shares.values(), strict=True):
            assert abs(part - samples * share / whole) <= 1
        before = parts


def test_one_mixture_is_one_run_however_it_is_written() -> None:
    same = [{"laion": 0.5, "yfcc": 0.5}, {"yfcc": 1, "laion": 1}, {"laion": 20, "yfcc": 20.0}]
    assert len({run_id(source) for source in same}) == 1
    assert run_id({"laion": 0.5, "yfcc": 0.5}) != run_id({"laion": 0.4, "yfcc": 0.6})
    assert run_id({"laion": 2}) == run_id("laion")


def test_shares_may_be_percentages_that_add_up() -> None:
    assert run_id({"laion": "30%", "yfcc": "70 %"}) == run_id({"laion": 0.3, "yfcc": 0.7})
    told = "source: percentages must be given for all, and add up to 100%, not"
    assert refusal(source={"laion": "50%", "yfcc": "30%"}) == f"{told} 80%"
    assert refusal(source={"laion": "50%", "yfcc": 1}) == f"{told} 150%"


def test_a_mixture_tells_its_samples_and_its_name() -> None:
    mixed = recipe(source={"yfcc": 0.3, "laion": 0.7}, samples=1001, batch=10)
    assert mixed.samples_by_source == {"laion": 701, "yfcc": 300}
    assert mixed.source_name == "laion 70%+yfcc 30%"
    assert recipe(source={"yfcc": 1, "laion": 1}).source_name == "laion+yfcc"


def test_shares_that_cannot_be_are_refused() -> None:
    no_number = "source: the share of 'a' must be a number above 0; remove it to use none"
    assert refusal(source={"a": 0, "b": 1}) == no_number
    assert refusal(source={"a": "half", "b": 1}) == (
        "source: the share of 'a' must be a number above 0, such as 0.5 or 50%, got 'half'"
    )
    assert refusal(source={"a": None, "b": 1}) == (
        "source: has no share of 'a'; write one, such as {a: 0.5}"
    )
    assert refusal(source={"a": [1, 2], "b": 1}) == (
        "source: the share of 'a' is a list; write a list of mixtures, such as "
        "[{laion: 1, yfcc: 1}, {laion: 1, yfcc: 3}]"
    )
    assert refusal(source={}).startswith("source: names nothing; give shares, such as {laion: 0.5")
    assert refusal(source={"a": 0.1234567, "b": 1}).startswith("source: the shares have too many")
    assert refusal(source={"a": 1, "b": 99_999}, samples=1024) == (
        "the share of 'a' gives none of 1,024 samples; raise samples or the share"
    )


def test_captions_are_mixed_by_shares_too() -> None:
    assert recipe(caption={"mix": {"txt": 0.5, "blip": 0.5}}).targets[0].caption_keys == ("blip",)
    assert refusal(caption={"mix": {"txt": 1}}).startswith("caption.mix: mixes one kind")
    assert refusal(caption={"mix": {"txt": 1, "templates": 1}}).startswith("caption: templates and")
    told = refusal(caption={"mix": {"txt": 1, "b": 1}, "keys": "a"})
    assert told.startswith("caption: keys cannot")


def test_recipes_without_the_new_settings_are_hashed_as_before() -> None:
    """Runs of earlier versions keep their ids."""
    assert Run("pretrain", recipe()).id == "2f33a3acf550"
    assert not {"select", "caption"} & Run("pretrain", recipe()).spec.keys()
