"""Count the shared memory that the loading processes of a node need.

    shared_memory_needed(ranks=8, workers=8, batch_bytes=batch_bytes(run, gpus=32))
    most_on_a_node(plan, per_node=8)

Batches go from them to their rank through /dev/shm; see training/loading/data_loader.py.
"""

from collections.abc import Iterator

from hpc_xfer.config.finetune_recipes import FullFinetune
from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.site import Slurm
from hpc_xfer.study.architecture_costs import tower_costs
from hpc_xfer.study.plan import Plan, Run, parent_recipe
from hpc_xfer.system import terminal

PREFETCH = 4  # batches that each loading process has ready, or is making
_IN_USE = 2  # batches: one is joined from its pieces, one computed on
_LARGE = 5e8  # bytes; a container has 64 MB, a node half of its memory
_TOKENS = 77 * 8  # bytes of a caption; labels and colors are smaller


def shared_memory_needed(ranks: int, workers: int, batch_bytes: int) -> int:
    """Bytes of /dev/shm for the ranks of one node; 0 where they load by themselves.

    Each of the `workers` loads a piece of every batch, so their number does not matter.

    Args:
        ranks: on the node.
        workers: loading processes per rank.
        batch_bytes: of the batch of one rank.
    """
    return ranks * (PREFETCH + _IN_USE) * batch_bytes if workers else 0


def batch_bytes(run: Run, gpus: int = 1) -> int:
    """Bytes of the batch of one rank, with images as bytes; 0 where no images are trained on.

    Args:
        gpus: ranks that share a batch.
    """
    recipe = run.recipe
    if isinstance(recipe, FullFinetune):
        return recipe.batch * 3 * tower_costs(parent_recipe(run).arch).side ** 2
    if not isinstance(recipe, Trained):
        return 0
    image = recipe.views * 3 * tower_costs(recipe.arch).side ** 2
    return -(-recipe.batch // gpus) * (image + _TOKENS)


def most_on_a_node(plan: Plan, per_node: int) -> int:
    """The most that the ranks of a node need at once: of one pre-training, or of fine-tunings.

    Args:
        per_node: processes of a run on a node, at most.
    """
    pretrain, finetune = plan.resources.pretrain, plan.resources.finetune
    workers = {"pretrain": pretrain.workers, "finetune": finetune.workers}
    most = 0
    for run in plan.runs:
        gpus = pretrain.gpus if run.kind == "pretrain" else 1
        ranks = min(gpus, per_node) if run.kind == "pretrain" else per_node * finetune.per_gpu
        loads = workers[run.kind] != 0  # null: as many as the machine has cores for
        most = max(most, shared_memory_needed(ranks, int(loads), batch_bytes(run, gpus)))
    return most


def loading_notes(plan: Plan, slurm: Slurm) -> Iterator[str]:
    """Say which CPUs a GPU gets, and how much shared memory the nodes need if it is much."""
    if slurm.gpu_option != "none" and plan.runs:
        cpus = slurm.cpus_per_gpu
        known = f"CPUs for each GPU (cpus_per_gpu): {cpus or 1}"
        yield known if cpus else f"{known}, as Slurm did not say what a node has"
    needed = most_on_a_node(plan, slurm.gpus_per_node)
    if needed > _LARGE:
        yield (
            f"loading processes need about {terminal.size(needed)} of /dev/shm on a node; a "
            "container has 64 MB unless it is started with more"
        )
