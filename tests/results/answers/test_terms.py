import pytest

from hpc_xfer.config.finetune_recipes import MODES
from hpc_xfer.results.answers.terms import (
    dataset_words,
    mode_words,
    scratch_words,
    shot_order,
    shots_text,
)


def test_shots_are_in_the_order_of_their_number_and_full_is_last() -> None:
    assert sorted(["full", "10", "5", "1"], key=shot_order) == ["1", "5", "10", "full"]


def test_shots_are_written_as_one_says_them() -> None:
    assert [*map(shots_text, ("0", "1", "5", "full"))] == [
        "zero-shot", "1 shot", "5 shots", "full data",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_words(mode: str) -> None:
    assert mode_words(mode).endswith(f" ({mode})")


def test_a_mode_with_settings_in_its_name_stays_as_it_is() -> None:
    assert mode_words("ft (paper protocol)") == "ft (paper protocol)"


def test_a_mean_says_over_how_many_data_sets_it_is_where_that_is_known() -> None:
    assert dataset_words("mean", 6) == "mean of 6 data sets"
    assert [dataset_words("mean"), dataset_words("digits", 6)] == ["mean of data sets", "digits"]


def test_a_probe_trains_no_encoder_so_its_scratch_is_an_untrained_one() -> None:
    assert scratch_words("ft (paper protocol)") == "training from scratch"
    assert scratch_words("lp-ft") == "training from scratch"
    assert scratch_words("lp liblinear") == "a probe of the untrained encoder"
    assert scratch_words("zeroshot") == "the untrained encoder"
