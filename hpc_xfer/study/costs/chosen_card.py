"""Choose the card of an estimate: that of --gpu, else of the site file, else an assumption."""

from typing import Any

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.study.cost_estimate import computes_on_gpus
from hpc_xfer.study.costs.gpu_rates import ASSUMED_CARD, card_of, known_names

_ASSUMED_CPUS = 8  # of a GPU: 64 cores beside eight GPUs, or 32 beside four


def with_card(site: Site, name: str | None) -> tuple[Site, list[str]]:
    """Return the site with its card filled in, and sentences on what is assumed.

    Args:
        name: of --gpu; it counts before `teraflops` of the site.

    Raises:
        StudyError: there are no rates for this name.
    """
    slurm = site.slurm
    notes: list[str] = []
    changes: dict[str, Any] = {}
    if name is not None and card_of(name) is None:
        raise StudyError(
            f"--gpu {name}: unknown card; name one of {', '.join(known_names())}, or write "
            "`teraflops` into the site file"
        )
    if name is not None:
        changes = {"gpu_type": name, "teraflops": None, "gpu_memory": None}
    card = card_of(name or slurm.gpu_type, None if name else slurm.gpu_memory)
    if not computes_on_gpus(slurm) and name is None:
        return site, notes
    if card is None and slurm.teraflops is None:
        card = ASSUMED_CARD
        changes["gpu_type"] = card.name.split("-")[0].lower()
        notes.append(
            f"an {card.name} is assumed: the site file has no gpu_type that is known; --gpu names "
            "another card"
        )
    if card is not None and (name is not None or slurm.gpu_memory is None):
        changes["gpu_memory"] = card.memory
    if slurm.cpus_per_gpu is None:
        changes["cpus_per_gpu"] = _ASSUMED_CPUS
        notes.append(
            f"{_ASSUMED_CPUS} CPUs for each GPU are assumed: the site file has no cpus_per_gpu"
        )
    return site.model_copy(update={"slurm": slurm.model_copy(update=changes)}), notes
