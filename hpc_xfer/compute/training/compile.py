"""torch.compile in place: names and weights of the modules stay as they are."""

import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed.global_batchnorm import GlobalBatchNorm
from hpc_xfer.compute.training.activation_checkpointing import blocks
from hpc_xfer.errors import DataError

# Versions of one function, a block's forward. RN50 has 16 blocks, each compiled with and without
# gradients where a batch goes through in parts; past torch's own limit, 8, they run as they are.
_VERSIONS = 64


def compile_in_place(objective: nn.Module, device: torch.device, blocks_only: bool) -> None:
    """Compile the parts of an objective, or where activations are recomputed, its blocks.

    Batch norms over ranks stay as they are: their collectives break the graph.

    Raises:
        DataError: this machine has no working compiler.
    """
    _try(device)
    torch._dynamo.config.recompile_limit = _VERSIONS
    for norm in objective.modules():
        if isinstance(norm, GlobalBatchNorm | nn.SyncBatchNorm):
            norm.forward = torch.compiler.disable(norm.forward)  # type: ignore[method-assign]
    for part in list(blocks(objective) if blocks_only else objective.children()):
        part.forward = torch.compile(part.forward)


def _try(device: torch.device) -> None:
    """Better now than at the first step, and with the way out."""
    try:
        torch.compile(_cube)(torch.ones(8, device=device))
    except Exception as error:  # of torch, Triton, a C++ compiler, the disk: all mean the same
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"torch.compile does not work here ({reason[0]}); install a C++ compiler (on GPUs "
            "Triton too) or set resources.pretrain.compile to false"
        ) from None


def _cube(x: Tensor) -> Tensor:
    return x * x * x
