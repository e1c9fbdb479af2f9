"""Choose the cards of an estimate: those of --gpu, else of the site file, else of Slurm's nodes."""

from collections.abc import Sequence
from typing import Any

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.study.cost_estimate import computes_on_gpus
from hpc_xfer.study.costs.gpu_rates import ASSUMED_CARD, GpuCard, card_of, known_names
from hpc_xfer.study.costs.training_speed import TrainingSpeed, speed_of_cards

_ASSUMED_CPUS = 8  # of a GPU: 64 cores beside eight GPUs, or 32 beside four


def with_card(site: Site, name: str | None, listed: Sequence[str] = ()) -> tuple[Site, list[str]]:
    """Return the site with its card filled in, and sentences on what is assumed.

    Of several cards the slowest is filled in, as time limits must do for it.

    Args:
        name: of --gpu, or several with commas; it counts before `teraflops` of the site.
        listed: types of the GPUs that Slurm lists.

    Raises:
        StudyError: there are no rates for this name.
    """
    slurm = site.slurm
    if not computes_on_gpus(slurm) and name is None:
        return site, []
    notes: list[str] = []
    changes: dict[str, Any] = {}
    cards = _named(name) if name is not None else []
    if cards:
        changes = _filled_in(cards) | {"teraflops": None}
    elif slurm.teraflops is None and card_of(slurm.gpu_type, slurm.gpu_memory) is None:
        cards, note = _listed(listed)
        changes = _filled_in(cards)
        notes.append(note)
    elif slurm.gpu_memory is None and (card := card_of(slurm.gpu_type)) is not None:
        changes["gpu_memory"] = card.memory
    if slurm.cpus_per_gpu is None:
        changes["cpus_per_gpu"] = _ASSUMED_CPUS
        notes.append(
            f"{_ASSUMED_CPUS} CPUs for each GPU are assumed: the site file has no cpus_per_gpu"
        )
    return site.model_copy(update={"slurm": slurm.model_copy(update=changes)}), notes


def speed_of_several(name: str | None, site: Site, listed: Sequence[str]) -> TrainingSpeed | None:
    """Return the speed between the slowest and the fastest of several cards; None if there is one.

    Args:
        name: as in `with_card`, as is `listed`.
        site: as the site file has it.
    """
    if name is not None:
        cards = _named(name)
    elif (
        site.slurm.teraflops is None
        and computes_on_gpus(site.slurm)
        and (card_of(site.slurm.gpu_type, site.slurm.gpu_memory) is None)
    ):
        cards, _ = _listed(listed)
    else:
        return None
    return speed_of_cards(cards) if len(cards) > 1 else None


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


def _listed(types: Sequence[str]) -> tuple[list[GpuCard], str]:
    """Return the cards of Slurm's nodes, else the one that is assumed, and a sentence on them."""
    known = {each: card for each in types if (card := card_of(each)) is not None}
    cards = list({card.name: card for card in known.values()}.values())
    if not cards:
        return [ASSUMED_CARD], (
            f"an {ASSUMED_CARD.name} is assumed: the site file has no gpu_type that is known; "
            "--gpu names another card"
        )
    unknown = [each for each in types if each not in known]
    without = f"; {', '.join(unknown)} has no rates" if unknown else ""
    names = " and ".join(card.name for card in cards)
    return cards, f"the nodes of the partition have {names}, as Slurm lists them{without}"


def _filled_in(cards: Sequence[GpuCard]) -> dict[str, Any]:
    slowest = min(cards, key=lambda card: card.peak("bf16"))
    return {"gpu_type": slowest.name.replace(" ", "").lower(), "gpu_memory": slowest.memory}
