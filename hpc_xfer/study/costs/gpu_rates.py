"""Rates of GPUs: peaks of data sheets, and the share of the peak that training reaches.

    card = card_of("a100", memory=80)
    card.training("bf16")        # FLOP/s, a Range

docs/cost.md has this table with all sources; a test holds the two together.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hpc_xfer.study.costs.ranges import Range

# Shares of the peak, each from published samples per second times FLOPs per sample (forward and
# backward, 3 forward passes), divided by the peak.
#
# A100, bf16 or fp16: 6% (OpenCLIP ViT-B-32, 412 samples/s per GPU on 128, Cherti et al. 2023, table
# of trained models) to 19% (ResNet-50, 2,470 images/s, NVIDIA DeepLearningExamples 2021). Between
# them: ViT-B-32 at 850 samples/s 12%, ViT-L-14 at 79 13%, ViT-B-16 at 390 15%.
_A100_HALF = Range(0.06, 0.19)
# A100, tf32: 15% (ResNet-50, 938 images/s, the same source). The low end is assumed: as far below
# the high end as in bf16.
_A100_TF32 = Range(0.05, 0.15)
# V100: 24% in fp16 (ResNet-50, 1,200 images/s), 57% in fp32 (367 images/s), the same source. The
# low ends are assumed as above.
_V100_HALF = Range(0.08, 0.24)
_FP32 = Range(0.20, 0.57)  # of V100; assumed for every card
# H100 and H200: 53% of an A100's share (NVIDIA NeMo 2023, CLIP ViT-g-14: 1.67 times as fast at 3.17
# times the peak) to its share by memory bandwidth per FLOP (assumed).
_HOPPER = 0.53
# fp32 and tf32 against 16 bits on one card: 38% on A100, 31% on V100 (ResNet-50, as above); never
# above half is assumed for all, as each number has twice the bytes.
_OF_HALF = 0.5
# fp64: products with the features of a data set, from small ones to large ones; assumed. The peaks
# of L40, L40S, A40 and RTX cards are a 64th of fp32 (NVIDIA GA102 and Ada whitepapers).
_FP64 = Range(0.1, 0.8)


@dataclass(frozen=True)
class GpuCard:
    """A GPU: peaks in dense TFLOP/s, memory in GB, memory bandwidth in GB/s."""

    name: str
    pattern: str  # finds it in a gres type or in the name that the driver tells
    memory: float
    bandwidth: float
    bf16: float
    fp16: float
    tf32: float
    fp32: float
    fp64: float  # with tensor or matrix cores, where they have it
    half_share: Range
    tf32_share: Range
    sheet: str  # the source of the peaks
    share_source: str

    def peak(self, precision: str) -> float:
        """Dense FLOP/s of the data sheet."""
        peaks = {"bf16": self.bf16, "fp16": self.fp16, "tf32": self.tf32, "fp32": self.fp32}
        return 1e12 * peaks[precision]

    def share(self, precision: str) -> Range:
        """The share of the peak that training reaches."""
        if precision == "fp32" or self.peak(precision) == self.peak("fp32"):
            return _FP32
        return self.tf32_share if precision == "tf32" else self.half_share

    @property
    def solver(self) -> Range:
        """FLOP/s that probes reach in float64."""
        return _FP64.scaled(1e12 * self.fp64)

    def training(self, precision: str) -> Range:
        """FLOP/s that training reaches; numbers of 32 bits take twice the memory traffic."""
        reached = self.share(precision).scaled(self.peak(precision))
        half = self.half_share.scaled(self.peak("fp16"))
        if precision == "fp16" or self.peak(precision) > self.peak("tf32"):
            return reached
        if precision == "fp32" and self.tf32 > self.fp32:
            reached = reached.at_most(self.training("tf32"))
        return reached.at_most(half.scaled(_OF_HALF))


_MEASURED = "published samples per second"


def _by_bandwidth(card_bandwidth: float, bf16: float) -> float:
    """Memory bandwidth per FLOP as a share of that of an A100, at most 1."""
    return min(1.0, (card_bandwidth / bf16) / (1555 / 312))


def _card(
    name: str, pattern: str, memory: float, bandwidth: float, peaks: tuple[float, float, float],
    fp64: float, sheet: str, shares: tuple[Range, Range] | None = None, fp16: float | None = None,
    least: float | None = None,
) -> GpuCard:  # fmt: skip
    """Make a card; without shares they are those of an A100 by memory bandwidth per FLOP.

    Args:
        peaks: in bf16, tf32 and fp32.
        least: factor on an A100's share at the low end.
    """
    bf16, tf32, fp32 = peaks
    source = _MEASURED
    if shares is None:
        most = _by_bandwidth(bandwidth, fp16 or bf16)
        factor = Range(least or most, most)
        shares = (factor.times(_A100_HALF), factor.times(_A100_TF32))
        source = "assumed: A100's share, by memory bandwidth per FLOP"
        source += " at the high end; low end from NeMo's CLIP" if least else ""
    return GpuCard(
        name,
        pattern,
        memory,
        bandwidth,
        bf16,
        fp16 or bf16,
        tf32,
        fp32,
        fp64,
        *shares,
        sheet,
        source,
    )


_A100 = (_A100_HALF, _A100_TF32)
CARDS: tuple[GpuCard, ...] = (
    # V100 has tensor cores for fp16 alone: bf16 and tf32 run as fp32 does.
    _card(
        "V100-16", r"v100|volta", 16, 900, (15.7, 15.7, 15.7), 7.8, "NVIDIA V100 data sheet, 2020",
        (_V100_HALF, _FP32), fp16=125,
    ),
    _card(
        "V100-32", r"v100|volta", 32, 900, (15.7, 15.7, 15.7), 7.8, "NVIDIA V100 data sheet, 2020",
        (_V100_HALF, _FP32), fp16=125,
    ),
    _card(
        "A100-40", r"a100", 40, 1555, (312, 156, 19.5), 19.5, "NVIDIA A100 data sheet, 2021", _A100
    ),
    _card(
        "A100-80", r"a100", 80, 2039, (312, 156, 19.5), 19.5, "NVIDIA A100 data sheet, 2021", _A100
    ),
    _card(
        "H100", r"h100|gh200|hopper", 80, 3350, (989, 494, 67), 67, "NVIDIA H100 data sheet, 2023",
        least=_HOPPER,
    ),
    _card(
        "H200", r"h200", 141, 4800, (989, 494, 67), 67, "NVIDIA H200 data sheet, 2024",
        least=_HOPPER,
    ),
    _card("L40", r"l40(?!s)", 48, 864, (181, 90.5, 90.5), 1.41, "NVIDIA L40 data sheet, 2022"),
    _card("A30", r"a30", 24, 933, (165, 82, 10.3), 10.3, "NVIDIA A30 data sheet, 2022"),
    _card(
        "RTX A6000", r"a6000", 48, 768, (154.8, 77.4, 38.7), 0.605, "NVIDIA GA102 whitepaper, 2021"
    ),
    _card("L40S", r"l40s", 48, 864, (362, 183, 91.6), 1.43, "NVIDIA L40S data sheet, 2023"),
    _card("A40", r"a40", 48, 696, (149.7, 74.8, 37.4), 0.585, "NVIDIA A40 data sheet, 2022"),
    _card(
        "RTX 3090", r"3090", 24, 936, (71, 35.6, 35.6), 0.556, "NVIDIA GA102 whitepaper, 2021"
    ),
    _card(
        "RTX 4090", r"4090", 24, 1008, (165.2, 82.6, 82.6), 1.29, "NVIDIA Ada whitepaper, 2022"
    ),
    # Slurm and torch see each of its two dies as a GPU; the numbers are those of one die.
    _card(
        "MI250X", r"mi250", 64, 1638, (191.5, 23.9, 23.9), 47.9,
        "AMD Instinct MI250X data sheet, 2021",
    ),
)  # fmt: skip
ASSUMED_CARD = next(card for card in CARDS if card.name == "A100-40")
_SAME_MEMORY = 0.15  # data sheets, drivers and site files round differently


def card_of(name: str | None, memory: float | None = None) -> GpuCard | None:
    """Find a card by its type, its memory or both; of several the slower, with less memory.

    Args:
        name: as in gres, or as the driver tells it: a100, h100_80gb, NVIDIA A100-SXM4-40GB.
        memory: GB.
    """
    found = [card for card in CARDS if name is None or _is_called(card, name)]
    told = memory if memory is not None else _memory_in(name or "")
    fitting = [card for card in found if told is not None and _has(card, told)]
    if name is None and not fitting:
        return None
    return min(fitting or found, key=lambda card: (card.peak("bf16"), card.memory), default=None)


def _is_called(card: GpuCard, name: str) -> bool:
    # A letter or digit on either side makes another card of it: `rtx_a4000` is no A40.
    return re.search(rf"(?<![a-z0-9])(?:rtx|gtx|geforce)?(?:{card.pattern})(?![0-9])",
                     name.lower()) is not None  # fmt: skip


def _memory_in(name: str) -> float | None:
    told = re.search(r"(\d+) ?gi?b", name.lower()) or re.search(r"[-_](16|32|40|80)\b", name)
    return float(told.group(1)) if told else None


def _has(card: GpuCard, memory: float) -> bool:
    return abs(card.memory - memory) <= _SAME_MEMORY * card.memory


def known_names() -> Iterator[str]:
    """The names that `--gpu` takes."""
    return (card.name.lower().replace(" ", "") for card in CARDS)
