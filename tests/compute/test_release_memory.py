"""After a failed run its memory is free: the next run of the pack gets all of the GPU."""

import gc
import weakref
from pathlib import Path

import torch

from hpc_xfer.compute.release_memory import release
from hpc_xfer.store.store import Store
from tests import tiny


def fails(kept: "list[weakref.ref[torch.Tensor]]") -> None:
    weight = torch.ones(8, requires_grad=True)
    activation = (weight * 2).exp()
    kept += [weakref.ref(weight), weakref.ref(activation)]
    try:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    except RuntimeError as error:
        raise ValueError("the step failed") from error


def test_the_frames_of_an_error_and_of_those_behind_it_let_go_of_their_tensors() -> None:
    kept: list[weakref.ref[torch.Tensor]] = []
    gc.disable()
    try:
        try:
            fails(kept)
        except ValueError as raised:
            error = raised
        assert all(each() is not None for each in kept)
        release(error)
        assert all(each() is None for each in kept)
    finally:
        gc.enable()
    assert isinstance(error.__cause__, torch.OutOfMemoryError)


def test_a_run_that_runs_out_of_memory_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    """The objective is in reach of the error, of its frames and of autograd's graph."""
    seen: list[weakref.ref[torch.nn.Module]] = []

    def fail(module: torch.nn.Module, inputs: object, output: object) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3:
            seen.append(weakref.ref(module))
            if len(seen) < 3:  # that of the second step; the first call counts operations
                return
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    source = tiny.source(tmp_path / "sans")
    store = Store(tmp_path / "store")
    hook = torch.nn.modules.module.register_module_forward_hook(fail)
    try:
        events = tiny.execute(store, tiny.pretraining("supervised"), source)
    finally:
        hook.remove()
    assert (events[-1]["event"], events[-1]["class"]) == ("failed", "CUDA out of memory")
    assert seen and all(each() is None for each in seen)
    tiny.finished(store, tiny.pretraining("supervised", seed=1), source)
