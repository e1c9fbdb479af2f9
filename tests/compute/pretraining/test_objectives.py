"""What a method needs stands on its recipe class, and one table names its objective."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import encoders, flops
from hpc_xfer.compute.pretraining.objectives import (
    OBJECTIVES,
    info_nce,
    nt_xent,
    pairwise_sigmoid,
)
from hpc_xfer.config.recipes import METHODS, Clip, Trained
from tests import tiny

GPU = World(device=torch.device("cuda", 0))
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "info_nce": lambda one, two: info_nce(one, two, one.sum(), GPU),
    "pairwise_sigmoid": lambda one, two: pairwise_sigmoid(one, two, one.sum(), two.sum(), GPU),
    "nt_xent": lambda one, two: nt_xent(one, two, 0.1, GPU),
}


class CaptionMethod(Clip):
    """A method that nothing outside of this test knows."""

    method: Literal["caption_method"] = "caption_method"  # type: ignore[assignment]


def test_every_method_that_trains_has_an_objective() -> None:
    training = {name for name, recipe in METHODS.items() if issubclass(recipe, Trained)}
    assert OBJECTIVES.keys() == training


def test_a_method_is_called_as_its_recipe_says() -> None:
    assert {name: recipe.model_fields["method"].default for name, recipe in METHODS.items()} == {
        name: name for name in METHODS
    }


def test_a_method_built_on_another_counts_its_text_tower_too() -> None:
    clip = Clip(arch=tiny.ARCH, source="sans", samples=2000, samples_seen=2000)
    other = CaptionMethod.model_validate(clip.model_dump(exclude={"method"}))
    towers = encoders.build(tiny.ARCH, 0, with_text=other.uses_text)
    assert towers.text is not None
    assert flops.per_sample(other, towers) == flops.per_sample(clip, towers)
    assert other.targets == clip.targets


class HostTensors(TorchDispatchMode):
    """Collects the operations that read a tensor of the host; on a GPU they copy it, and wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        self.found += [str(func) for each in tensors if each.device.type == "cpu"]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_on_a_gpu_reads_nothing_from_the_host(name: str) -> None:
    """On fake tensors, which have a device and no memory: no GPU is needed."""
    with FakeTensorMode(), HostTensors() as host:
        one, two = (torch.empty(8, 4, device=GPU.device, requires_grad=True) for _ in range(2))
        assert LOSSES[name](one, two).device == GPU.device
    assert host.found == []
