"""Numbers as people write them are read, and what can mean two things is refused with both."""

from collections.abc import Callable
from typing import Any

import pytest

from hpc_xfer.config.notation.units import (
    read_count,
    read_gigabytes,
    read_minutes,
    refuse_thousands,
)


@pytest.mark.parametrize(
    ("read", "written", "meant"),
    [
        (read_count, "15k", 15_000), (read_count, "1M", 1_000_000), (read_count, "2.7M", 2_700_000),
        (read_count, "400M", 400_000_000), (read_count, "2B", 2_000_000_000),
        (read_count, "1_000k", 1_000_000),
        (read_minutes, "90m", 90), (read_minutes, "24h", 1440), (read_minutes, "1d", 1440),
        (read_minutes, "1h30m", 90), (read_minutes, "2d 4h", 3120), (read_minutes, "30s", 0.5),
        (read_minutes, "1.5 hours", 90), (read_minutes, "1-12:00:00", 2160),
        (read_minutes, "12:00:00", 720), (read_minutes, "1-12", 2160),
        (read_gigabytes, "60GB", 60), (read_gigabytes, "60G", 60), (read_gigabytes, "60gb", 60),
        (read_gigabytes, "512MB", 0.5), (read_gigabytes, "1.5TB", 1536),
    ],
)  # fmt: skip
def test_a_unit_is_read(read: Callable[[Any], Any], written: str, meant: float) -> None:
    assert (read(written), type(read(written))) == (meant, type(meant))


@pytest.mark.parametrize("read", [read_count, read_minutes, read_gigabytes, refuse_thousands])
@pytest.mark.parametrize("value", ["", "soon", "60", "8q", "-5k", "1e3k", "24h, 3d", 60, 1.5, None])
def test_what_has_no_unit_is_left_to_the_caller(read: Callable[[Any], Any], value: Any) -> None:
    assert read(value) == value


@pytest.mark.parametrize(
    ("read", "written", "sentence"),
    [
        (
            read_count, "1m",
            "'1m' is ambiguous: m can mean 1 million or 1 thousandth; write 1M for 1 million",
        ),
        (
            read_count, "2b",
            "'2b' is ambiguous: b can mean 1 billion or 1 byte; write 2B for 1 billion",
        ),
        (read_count, "2.7777k", "'2.7777k' is 2777.7, which is not whole; round it"),
        (
            refuse_thousands, "32k",
            "'32k' is ambiguous: 32,000 or 32,768; write the number in digits",
        ),
        (
            read_minutes, "1:30",
            "'1:30' is ambiguous: 1h30m, or 1m30s as sbatch reads it; write one of these two",
        ),
        (
            read_minutes, "90M",
            "'90M' is ambiguous: M can mean minutes or months; write 90m for minutes",
        ),
        (read_minutes, "1-12:70", "'1-12:70' is not a time; write days-hours:minutes:seconds"),
        (
            read_gigabytes, "60Gb",
            "'60Gb' is ambiguous: the b of Gb can mean bits or bytes; write 60GB for bytes",
        ),
    ],
)  # fmt: skip
def test_what_can_mean_two_things_is_refused_with_both(
    read: Callable[[Any], Any], written: str, sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read(written)
    assert str(caught.value) == sentence
