"""Variance of accuracies over the images that were tested: the E3 part of an interval.

A run leaves one bit per test image, right or wrong. The mean of an image's bits over the seeds and
draws of a label is its hit rate; the variance of hit rates over images, divided by their number, is
the variance of the label's accuracy over other test images. The variance of a difference comes from
the differences image by image, since all labels are tested on the same ones.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hpc_xfer.results.panels import PanelKey
from hpc_xfer.system import atomic_files

if TYPE_CHECKING:
    from numpy import float64, uint8
    from numpy.typing import NDArray

_HEADER = 128  # bytes, of the .npy files that runs write


@dataclass(frozen=True)
class HitsFile:
    """Place of the bits of one chosen value, and the accuracy that they must add up to."""

    path: str
    row: int | None  # of a path; None where the file has one value
    n_test: int
    top1: float


@dataclass(frozen=True)
class ImageCovariance:
    """Covariance of label accuracies over test images, for one panel."""

    labels: Mapping[str, int]  # label -> row
    matrix: "NDArray[float64]"

    def variance(self, a: str, b: str | None = None) -> float | None:
        """Variance of the accuracy of a, or of a minus b; None where hits are not known."""
        i, j = self.labels.get(a), self.labels.get(b or a)
        if i is None or j is None:
            return None
        own = float(self.matrix[i, i])
        if b is None:
            return own
        return max(0.0, own + float(self.matrix[j, j]) - 2 * float(self.matrix[i, j]))


@dataclass(frozen=True)
class TestImages:
    """Image covariances of all panels, and the files that could not be used."""

    panels: Mapping[PanelKey, ImageCovariance] = field(default_factory=dict)
    unusable: tuple[tuple[Path, str], ...] = ()  # file and reason

    __test__ = False  # pytest: this is no test

    def variance(
        self, mode: str, datasets: Iterable[str], shots: str, a: str, b: str | None = None
    ) -> float | None:
        """Variance over images of an accuracy, or a difference, averaged over data sets."""
        found = []
        for dataset in datasets:
            panel = self.panels.get((mode, dataset, shots))
            value = None if panel is None else panel.variance(a, b)
            if value is None:
                return None
            found.append(value)
        return sum(found) / len(found) ** 2 if found else None


def read_test_images(files: Mapping[PanelKey, Mapping[str, list[HitsFile]]]) -> TestImages:
    """Read the hits of every panel: label -> the files of its chosen runs."""
    panels: dict[PanelKey, ImageCovariance] = {}
    unusable: list[tuple[Path, str]] = []
    for key, labels in files.items():
        rates = {}
        for label, hits in labels.items():
            rate, wrong = _hit_rates(hits)
            unusable += wrong
            if rate is not None and not wrong:
                rates[label] = rate
        if found := _covariance(rates):
            panels[key] = found
    return TestImages(panels, tuple(unusable))


def _covariance(rates: Mapping[str, "NDArray[float64]"]) -> ImageCovariance | None:
    import numpy

    sizes = {len(rate) for rate in rates.values()}
    if len(sizes) != 1 or min(sizes) < 2:
        return None
    [n] = sizes
    stacked = numpy.stack(list(rates.values()))
    stacked -= stacked.mean(axis=1, keepdims=True)
    matrix = stacked @ stacked.T / (n - 1) / n
    return ImageCovariance({label: i for i, label in enumerate(rates)}, matrix)


def _hit_rates(
    files: list[HitsFile],
) -> tuple["NDArray[float64] | None", list[tuple[Path, str]]]:
    """Mean hit of each test image over the files, and the files that do not fit."""
    import numpy

    total: NDArray[float64] | None = None
    wrong: list[tuple[Path, str]] = []
    for file in files:
        bits = _read(file)
        if bits is None:
            return None, wrong
        if isinstance(bits, str):
            wrong.append((Path(file.path), bits))
        elif total is None:
            total = bits.astype(numpy.float64)
        elif len(total) == len(bits):
            total += bits
        else:
            wrong.append((Path(file.path), "has another number of test images than its neighbors"))
    return (None if total is None else total / (len(files) - len(wrong))), wrong


def _read(file: HitsFile) -> "NDArray[uint8] | str | None":
    """Read the bits of one value; a sentence where they are not those of the record.

    None where there is no file: version 0.1 wrote none.
    """
    import numpy

    width = (file.n_test + 7) // 8
    try:
        handle = atomic_files.open_plainly(file.path)
        try:
            head = os.pread(handle, _HEADER, 0)
            if not head.startswith(b"\x93NUMPY") or b"'|u1'" not in head:
                return "is not an array of bits"
            if os.fstat(handle).st_size < _HEADER + width:
                return "is shorter than its record says"  # before as much is read
            packed = os.pread(handle, width, _HEADER + width * (file.row or 0))
        finally:
            os.close(handle)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except atomic_files.OddFile as odd:
        return str(odd)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if len(packed) < width:
        return "is shorter than its record says"
    bits = numpy.unpackbits(numpy.frombuffer(packed, dtype=numpy.uint8), count=file.n_test)
    # Shares in records are rounded to 7 digits; a single image is 1 / n_test.
    right = int.from_bytes(packed, "little").bit_count()  # a tenth of the time of bits.sum()
    if abs(right / file.n_test - file.top1) > 0.5 / file.n_test:
        return "does not add up to the accuracy in its record"
    return bits
