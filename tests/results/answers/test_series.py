from dataclasses import replace

from hpc_xfer.results.answers.series import all_series, series_label
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.study.labels import short_count


def clip(
    samples: int | None, seen: int | None = None, words: str = "", source: str = "laion"
) -> EncoderInfo:
    size = f" {short_count(samples)}" if samples else ""
    return EncoderInfo(f"clip {source}{size}{words}", "clip", "RN50", source, samples, seen, None)


def test_a_label_without_its_size_keeps_all_other_words() -> None:
    assert series_label(clip(1_000_000, words=" lr=0.001")) == "clip laion lr=0.001"
    assert series_label(clip(1_000_000, words=" samples_seen=16M")) == "clip laion"
    assert series_label(clip(None)) == "clip laion"


def test_a_source_may_have_the_name_of_a_size() -> None:
    assert series_label(clip(1_000_000, source="1M")) == "clip 1M"


def test_sizes_are_in_order_whatever_the_order_of_the_encoders() -> None:
    sizes = [clip(n) for n in (10_000, 1000, 100_000)]
    (series,) = all_series(sizes)
    assert series.label == "clip laion"
    assert [encoder.samples for encoder in series.encoders] == [1000, 10_000, 100_000]


def test_more_samples_seen_of_more_samples_are_one_series() -> None:
    (series,) = all_series([clip(1000, 16_000), clip(10_000, 160_000)])
    assert series.label == "clip laion"


def test_two_numbers_of_epochs_are_two_series() -> None:
    found = all_series(
        clip(n, epochs * n, f" samples_seen={short_count(epochs * n)}")
        for n in (1000, 10_000, 100_000)
        for epochs in (16, 32)
    )
    assert [series.label for series in found] == ["clip laion epochs=16", "clip laion epochs=32"]
    assert [len(series.encoders) for series in found] == [3, 3]


def test_two_budgets_of_samples_seen_are_two_series() -> None:
    found = all_series(
        clip(n, seen, f" samples_seen={short_count(seen)}")
        for n in (1000, 10_000, 100_000)
        for seen in (100_000, 200_000)
    )
    names = ["clip laion samples_seen=100k", "clip laion samples_seen=200k"]
    assert [series.label for series in found] == names
    assert [len(series.encoders) for series in found] == [3, 3]


def test_a_setting_that_one_size_tries_is_named_and_the_rest_is_a_series() -> None:
    def rate(encoder: EncoderInfo, lr: str) -> EncoderInfo:
        return replace(encoder, settings=(("pretrain_lr", lr),))

    found = all_series(
        [
            rate(clip(1000, words=" lr=0.001"), "0.001"),
            rate(clip(1000, words=" lr=0.01"), "0.01"),
            rate(clip(10_000), "0.001"),
        ]
    )
    assert [series.label for series in found] == ["clip laion lr=0.001", "clip laion lr=0.01"]
    assert [len(series.encoders) for series in found] == [2, 1]


def test_released_weights_of_one_source_are_a_series_and_those_of_unknown_sources_are_not() -> None:
    def released(label: str, source: str, samples: int) -> EncoderInfo:
        return EncoderInfo(label, "released", "RN50", source, samples, None, None)

    known = [
        released("released laion a", "laion", 400),
        released("released laion b", "laion", 2000),
    ]
    (series,) = all_series(known)
    assert (series.label, len(series.encoders)) == ("released laion", 2)
    unknown = [replace(encoder, source="") for encoder in known]
    assert [len(series.encoders) for series in all_series(unknown)] == [1, 1]
