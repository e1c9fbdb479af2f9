"""Residual branches that are skipped at random."""

import copy

import pytest
import torch
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.drop_path import set_drop_path
from hpc_xfer.config.recipes import Architecture
from hpc_xfer.errors import DataError
from tests import steps, tiny


def encoder(**vision: object) -> nn.Module:
    cfg = {**steps.VIT.vision_cfg, **vision}
    arch = Architecture(embed_dim=16, vision_cfg=cfg, text_cfg=tiny.ARCH.text_cfg)
    return encoders.build(arch, seed=0, with_text=False).visual


def noise(n: int) -> Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def branches(visual: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """What each branch adds, by its name, (n, tokens, width)."""
    seen: dict[str, Tensor] = {}
    for name, module in visual.named_modules():
        if name.endswith((".ls_1", ".ls_2")):
            module.register_forward_hook(
                lambda _m, _i, out, name=name: seen.__setitem__(name.split(".", 2)[2], out.detach())
            )
    visual(images)
    return seen


def skipped(added: Tensor) -> float:
    """The share of the images to which a branch adds nothing."""
    return float(added.flatten(1).eq(0).all(dim=1).double().mean())


@pytest.mark.parametrize("block", [{}, {"qk_norm": True}, {"ls_init_value": 0.5}])
def test_rates_rise_from_the_first_block_to_the_last(block: dict[str, object]) -> None:
    visual = encoder(layers=3, **block).train()
    set_drop_path(visual, 0.5)
    torch.manual_seed(0)
    seen = branches(visual, noise(1000))
    assert skipped(seen["0.ls_1"]) == skipped(seen["0.ls_2"]) == 0
    for name, rate in (("1.ls_1", 0.25), ("1.ls_2", 0.25), ("2.ls_1", 0.5), ("2.ls_2", 0.5)):
        assert skipped(seen[name]) == pytest.approx(rate, abs=0.05)  # 3 standard deviations
    both = seen["2.ls_1"].flatten(1).any(dim=1) & seen["2.ls_2"].flatten(1).any(dim=1)
    assert float(both.double().mean()) == pytest.approx(0.25, abs=0.05)  # each on its own


def test_branches_that_are_kept_count_for_the_others() -> None:
    visual = encoder().train()
    full = branches(copy.deepcopy(visual), noise(4))["1.ls_1"]  # block 0 skips nothing
    set_drop_path(visual, 0.75)
    torch.manual_seed(0)
    added = branches(visual, noise(4))["1.ls_1"]
    kept = added.flatten(1).any(dim=1)
    assert kept.any() and not kept.all()
    assert torch.allclose(added[kept], full[kept] / 0.25)


def test_the_expected_output_is_that_of_the_whole_branch() -> None:
    visual = encoder().train()
    image = noise(1)
    full = branches(copy.deepcopy(visual), image)["1.ls_1"][0]
    set_drop_path(visual, 0.5)
    torch.manual_seed(0)
    added = branches(visual, image.expand(4000, -1, -1, -1))["1.ls_1"]
    ratio = (added.mean(dim=0) * full).sum() / full.square().sum()
    assert float(ratio) == pytest.approx(1, abs=0.05)  # deviation 1 / sqrt(4000)


def test_gradients_of_skipped_branches_are_zero_and_finite() -> None:
    visual = encoder().train()
    set_drop_path(visual, 0.9)
    torch.manual_seed(1)
    visual(noise(1)).sum().backward()
    last = visual.transformer.resblocks[1].mlp.c_proj.weight.grad  # type: ignore[union-attr,index]
    assert not last.any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in visual.parameters())


def test_in_evaluation_nothing_is_skipped_and_names_stay() -> None:
    plain = encoder().eval()
    changed = copy.deepcopy(plain)
    set_drop_path(changed, 0.9)
    assert torch.equal(plain(noise(4)), changed(noise(4)))
    assert list(plain.state_dict()) == list(changed.state_dict())


def test_a_resnet_is_refused() -> None:
    visual = encoders.build(tiny.ARCH, seed=0, with_text=False).visual
    with pytest.raises(DataError, match="this encoder is a ModifiedResNet; remove drop_path"):
        set_drop_path(visual, 0.1)
