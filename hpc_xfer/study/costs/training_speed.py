"""Find the speed of training on a site: of its card, of `teraflops`, or of CPU cores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from hpc_xfer.config.recipes import Precision
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.costs.gpu_rates import ASSUMED_CARD, GpuCard, card_of
from hpc_xfer.study.costs.ranges import Range

# What the site file calls effective was measured on some run: others are this much faster, slower.
_GIVEN = Range(0.7, 1.3)
SOLVER = "fp64"
_SOLVER_OF_GIVEN = Range(1 / 64, 1 / 2)  # consumer cards, cards of data centers; assumed
_DOUBLE = 0.5  # of fp32, as each number has twice the bytes
_CORE = Range(0.01e12, 0.04e12)  # FLOP/s of a core, assumed: slow laptop core to server core


@dataclass(frozen=True)
class TrainingSpeed:
    """FLOP/s that training reaches on one GPU, by precision."""

    rates: Mapping[str, Range]  # also fp64, in which probes are solved
    rests_on: str  # what a person reads: "FLOPs, A100-40"
    card: str | None = None  # several with commas

    def of(self, precision: str) -> Range:
        return self.rates[precision]

    @property
    def solver(self) -> Range:
        """FLOP/s that probes reach in float64; a plan of an earlier version has none."""
        return self.rates.get(SOLVER) or self.rates["fp32"].scaled(_DOUBLE)

    def as_json(self) -> dict[str, Any]:
        """The content that `from_json` reads."""
        rates = {name: [rate.low, rate.high] for name, rate in self.rates.items()}
        return {"rates": rates, "rests_on": self.rests_on, "card": self.card}

    @staticmethod
    def from_json(content: Any) -> "TrainingSpeed | None":
        """Read what `as_json` made; None where another version wrote something else."""
        try:
            names = [*get_args(Precision), *({SOLVER} & set(content["rates"]))]
            rates = {name: Range(*content["rates"][name]) for name in names}
            return TrainingSpeed(rates, str(content["rests_on"]), content.get("card"))
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


def speed_of_card(card: GpuCard, why: str = "") -> TrainingSpeed:
    rates = {name: card.training(name) for name in get_args(Precision)}
    return TrainingSpeed({**rates, SOLVER: card.solver}, f"FLOPs, {card.name}{why}", card.name)


def speed_of_cards(cards: Sequence[GpuCard]) -> TrainingSpeed:
    """The speed where jobs may get any of several cards: from the slowest to the fastest."""
    each = [speed_of_card(card) for card in cards]
    rates = {
        name: Range(
            min(one.rates[name].low for one in each), max(one.rates[name].high for one in each)
        )
        for name in each[0].rates
    }
    names = [card.name for card in cards]
    return TrainingSpeed(rates, f"FLOPs, {' or '.join(names)}", ",".join(names))


def speed_of_teraflops(teraflops: float) -> TrainingSpeed:
    """The speed where the site file gives the effective TFLOP/s of a GPU."""
    rate = _GIVEN.scaled(1e12 * teraflops)
    rates = dict.fromkeys(get_args(Precision), rate)
    why = f"FLOPs, {teraflops:g} TFLOP/s of the site file"
    return TrainingSpeed({**rates, SOLVER: rate.times(_SOLVER_OF_GIVEN)}, why)


def speed_of_cores(threads: int) -> TrainingSpeed:
    """The speed of a process without a GPU."""
    rate = _CORE.scaled(threads)
    rates = dict.fromkeys(get_args(Precision), rate)
    return TrainingSpeed({**rates, SOLVER: rate.scaled(_DOUBLE)}, "FLOPs, CPU cores assumed")


def speed_of_site(slurm: Slurm, has_gpu: bool, threads: int) -> TrainingSpeed:
    """The speed on a site; `teraflops` counts first, then gpu_type and gpu_memory."""
    if slurm.teraflops is not None:
        return speed_of_teraflops(slurm.teraflops)
    if not has_gpu:
        return speed_of_cores(threads)
    card = card_of(slurm.gpu_type, slurm.gpu_memory)
    if card is not None:
        return speed_of_card(card)
    return speed_of_card(ASSUMED_CARD, " assumed")
