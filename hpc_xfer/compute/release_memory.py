"""Give back the memory that a failed run leaves behind, before the next run of its pack."""

import gc
import traceback

import torch

from hpc_xfer.compute.failure_classes import causes


def release(error: BaseException) -> None:
    """Free what the frames of an error hold: the model, its gradients, the batch on the GPU.

    Its tracebacks are lost: write them down first. Frames that still run keep what they hold.
    """
    for each in list(causes(error)):
        traceback.clear_frames(each.__traceback__)
        each.__traceback__ = None
    gc.collect()  # autograd's graph and modules refer to each other
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # other workers may share the GPU
