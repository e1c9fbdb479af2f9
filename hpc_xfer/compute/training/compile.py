"""Use torch.compile in place: names and weights of the modules stay as they are."""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hpc_xfer.compute.distributed.global_batchnorm import GlobalBatchNorm
from hpc_xfer.compute.training.activation_checkpointing import blocks
from hpc_xfer.errors import DataError

# Compiled versions of one function, the forward of a block. RN50 has 16 blocks, each compiled with
# and without gradients when accumulating. Beyond the limit (torch: 8) blocks run uncompiled.
_VERSIONS = 64


def compile_in_place(objective: nn.Module, device: torch.device, blocks_only: bool) -> None:
    """Compile the children of an objective, or its blocks if activations are recomputed.

    Batch norms over ranks are not compiled: their collectives break the graph.

    Raises:
        DataError: this machine has no working compiler.
    """
    _check_compiler(device)
    torch._dynamo.config.recompile_limit = _VERSIONS
    for norm in objective.modules():
        if isinstance(norm, GlobalBatchNorm):
            # On the instance: the class also serves modules that are not compiled.
            norm.forward = torch.compiler.disable(norm.forward)  # type: ignore[method-assign]
    for part in list(blocks(objective) if blocks_only else objective.children()):
        part.forward = torch.compile(part.forward)


@contextlib.contextmanager
def compilations_shown(touch: Callable[[], object]) -> Iterator[None]:
    """Show a sign of life after each compilation: a first step has dozens, which take minutes."""
    from torch._dynamo.callback import CallbackArgs, callback_handler

    def ended(compilation: CallbackArgs) -> None:
        touch()

    callback_handler.register_end_callback(ended)
    try:
        yield
    finally:
        callback_handler.remove_end_callback(ended)


def _check_compiler(device: torch.device) -> None:
    """Fail before the first step, and say what helps."""
    try:
        torch.compile(_cube)(torch.ones(8, device=device))
    except Exception as error:  # from torch, Triton, the C++ compiler or the disk
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"torch.compile does not work here ({reason[0]}); install compilers of C "
            "and C++ and Python.h (Debian: gcc g++ python3-dev), on GPUs Triton too, or set "
            "resources.pretrain.compile to false"
        ) from None


def _cube(x: Tensor) -> Tensor:
    return x * x * x
