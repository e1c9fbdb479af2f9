"""torch.compile: signs of life while a first step compiles for minutes."""

import torch
from torch import Tensor

from hpc_xfer.compute.training.compile import compilations_shown


def double(x: Tensor) -> Tensor:
    return 2 * x


def test_each_compilation_is_a_sign_of_life() -> None:
    """With a compiler that leaves operations as they are: no C++ compiler is needed."""
    signs: list[int] = []
    compiled = torch.compile(double, backend="eager", dynamic=False)
    with compilations_shown(lambda: signs.append(1)):
        for size in (2, 2, 3):
            compiled(torch.ones(size))
    assert len(signs) == 2
    compiled(torch.ones(4))
    assert len(signs) == 2
