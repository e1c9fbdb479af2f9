"""Choose the cards of an estimate: those of --gpu, else of the site file, else of Slurm's nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpc_xfer.config.site import Site, Slurm
from hpc_xfer.errors import StudyError
from hpc_xfer.study.cost_estimate import computes_on_gpus
from hpc_xfer.study.costs.gpu_rates import ASSUMED_CARD, GpuCard, card_of, known_names
from hpc_xfer.study.costs.training_speed import TrainingSpeed, speed_of_cards
from hpc_xfer.system import machine

_GPU_OPTION = Slurm.model_fields["gpu_option"].default
_ASSUMED_CPUS = 8  # of a GPU: 64 cores beside eight GPUs, or 32 beside four


@dataclass(frozen=True)
class ChosenCards:
    """The cards of an estimate; none where the site file tells how fast its GPUs are."""

    cards: tuple[GpuCard, ...] = ()
    is_assumed: bool = False
    note: str | None = None  # on where they come from

    @property
    def speed(self) -> TrainingSpeed | None:
        """The speed between the slowest and the fastest; None where they are not several."""
        return speed_of_cards(self.cards) if len(self.cards) > 1 else None

    @property
    def named(self) -> str | None:
        """The names with commas, as `finished_rates` takes them; None where nobody named one."""
        return None if self.is_assumed else ",".join(card.name for card in self.cards) or None


def choose_cards(site: Site, name: str | None, listed: Sequence[str] = ()) -> ChosenCards:
    """Choose the cards of --gpu, else of the site file, else of Slurm, else assume one.

    Args:
        name: of --gpu, or several with commas; it counts before `teraflops` of the site.
        listed: types of the GPUs that Slurm lists.

    Raises:
        StudyError: there are no rates for this name.
    """
    slurm = site.slurm
    if name is not None:
        return ChosenCards(tuple(_named(name)))
    if not computes_on_gpus(slurm) or slurm.teraflops is not None:
        return ChosenCards()
    card = card_of(slurm.gpu_type, slurm.gpu_memory)
    return _listed(listed) if card is None else ChosenCards((card,))


def with_card(site: Site, chosen: ChosenCards) -> tuple[Site, list[str]]:
    """Return the site with its card filled in, and sentences on what is assumed.

    Of several cards the slowest is filled in, as time limits must do for it.
    """
    slurm = site.slurm
    if not computes_on_gpus(slurm) and not chosen.cards:
        return site, []
    notes = [] if chosen.note is None else [chosen.note]
    changes: dict[str, Any] = {}
    if chosen.cards:
        slowest = min(chosen.cards, key=lambda card: card.peak("bf16"))
        changes = {"gpu_type": slowest.name.replace(" ", "").lower(), "teraflops": None}
        changes["gpu_memory"] = slowest.memory
    if not computes_on_gpus(slurm):
        environment = {k: v for k, v in slurm.environment.items() if k != machine.DEVICE}
        changes |= {"gpu_option": _GPU_OPTION, "environment": environment}
        notes.append("jobs of this site compute on CPUs; the estimate is for GPUs, as --gpu says")
    if slurm.cpus_per_gpu is None:
        changes["cpus_per_gpu"] = _ASSUMED_CPUS
        notes.append(
            f"{_ASSUMED_CPUS} CPUs for each GPU are assumed: the site file has no cpus_per_gpu"
        )
    return site.model_copy(update={"slurm": slurm.model_copy(update=changes)}), notes


def _named(name: str) -> list[GpuCard]:
    """Read --gpu.

    Raises:
        StudyError: there are no rates for a name.
    """
    cards: dict[str, GpuCard] = {}
    for part in name.split(","):
        card = card_of(part.strip()) if part.strip() else None
        if card is None:
            raise StudyError(
                f"--gpu {name}: unknown card{f' {part!r}' if part != name else ''}; name one of "
                f"{', '.join(known_names())}, or several with commas, or write `teraflops` into "
                "the site file"
            )
        cards[card.name] = card
    return list(cards.values())


def _listed(types: Sequence[str]) -> ChosenCards:
    """Return the cards of Slurm's nodes, else the one that is assumed."""
    known = {each: card for each in types if (card := card_of(each)) is not None}
    cards = tuple({card.name: card for card in known.values()}.values())
    if not cards:
        note = f"an {ASSUMED_CARD.name} is assumed: the site file has no gpu_type that is known; "
        return ChosenCards((ASSUMED_CARD,), True, f"{note}--gpu names another card")
    unknown = [each for each in types if each not in known]
    without = f"; {', '.join(unknown)} has no rates" if unknown else ""
    names = " and ".join(card.name for card in cards)
    note = f"the nodes of the partition have {names}, as Slurm lists them{without}"
    return ChosenCards(cards, note=note)
