"""Encoders: one visual tower for all methods, saved so that others can read it."""

from pathlib import Path

import open_clip
import pytest
import torch
import torchvision
from torch import Tensor

from hpc_xfer import architectures
from hpc_xfer.errors import DataError
from hpc_xfer.recipes import Arch, Architecture, Trained
from hpc_xfer.tasks.pretrain import objective_of
from hpc_xfer.training import encoders
from hpc_xfer.training.distributed import World
from tests import tiny

RESNET = "torchvision/resnet18"


def dump(arch: Arch) -> object:
    return arch.model_dump() if isinstance(arch, Architecture) else arch


def images(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("arch", [tiny.ARCH, RESNET])
def test_the_visual_tower_begins_alike_with_and_without_text(arch: Arch) -> None:
    with_text = encoders.build(arch, seed=3, with_text=True)
    alone = encoders.build(arch, seed=3, with_text=False)
    other = encoders.build(arch, seed=4, with_text=False).visual.state_dict()
    one, two = with_text.visual.state_dict(), alone.visual.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert alone.text is None and alone.logit_scale is None and alone.projection is None


def test_building_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    encoders.build(tiny.ARCH, seed=3, with_text=True)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("arch", [tiny.ARCH, RESNET])
@pytest.mark.parametrize("with_text", [True, False])
def test_what_is_saved_is_loaded(arch: Arch, with_text: bool, tmp_path: Path) -> None:
    towers = encoders.build(arch, seed=3, with_text=with_text)
    towers.normalisation = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    if with_text:
        towers.logit_scale = torch.tensor(3.25)
    encoders.save(tmp_path / "encoder.pt", arch, towers)
    found_arch, found = encoders.load(tmp_path / "encoder.pt")
    assert found_arch == arch or dump(found_arch) == dump(arch)  # the name labels tables alone
    assert (found.dim, found.image_size) == (towers.dim, towers.image_size)
    assert found.normalisation == towers.normalisation
    x = images(found.image_size)
    for each in (towers, found):
        each.visual.eval()
    assert torch.equal(towers.image_features(x), found.image_features(x))
    if with_text:
        tokens = encoders.tokenizer(arch)(["digit zero", "a cat"])
        assert torch.equal(towers.text_features(tokens), found.text_features(tokens))
        assert towers.image_features(x).shape[1] == towers.text_features(tokens).shape[1]
        assert found.logit_scale == torch.tensor(3.25)
    else:
        assert found.text is None


@pytest.mark.slow
def test_plain_open_clip_reads_our_product(tmp_path: Path) -> None:
    towers = encoders.build("RN50", seed=3, with_text=True)
    encoders.save(tmp_path / "encoder.pt", "RN50", towers)
    state = torch.load(tmp_path / "encoder.pt", weights_only=True)
    model = open_clip.create_model(state["arch"], pretrained=None, force_custom_text=True)
    parts = {f"{tower}.{k}": v for tower in ("visual", "text") for k, v in state[tower].items()}
    parts["logit_scale"] = torch.tensor(state["logit_scale"])
    model.load_state_dict(parts)
    model.eval()
    towers.visual.eval()
    x, tokens = images(224), open_clip.get_tokenizer("RN50")(["a cat", "a dog"])
    assert torch.equal(model.encode_image(x, normalize=True), towers.image_features(x))
    assert torch.equal(model.encode_text(tokens, normalize=True), towers.text_features(tokens))


def test_plain_torchvision_reads_our_product(tmp_path: Path) -> None:
    towers = encoders.build(RESNET, seed=3, with_text=False)
    encoders.save(tmp_path / "encoder.pt", RESNET, towers)
    state = torch.load(tmp_path / "encoder.pt", weights_only=True)
    model = torchvision.models.resnet18()
    missing, unexpected = model.load_state_dict(state["visual"], strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    model.fc = torch.nn.Identity()
    assert torch.equal(model.eval()(images(64)), towers.visual.eval()(images(64)))


@pytest.mark.parametrize("method", ["clip", "simclr", "supervised"])
def test_a_torchvision_encoder_serves_every_method(method: str) -> None:
    recipe = tiny.pretraining(method, arch=RESNET).recipe
    assert isinstance(recipe, Trained)
    towers = encoders.build(RESNET, seed=0, with_text=method == "clip")
    objective = objective_of(recipe, towers, 16, World())
    n = (2, 2) if method == "simclr" else (2,)
    batch = {"images": torch.zeros((*n, 3, 64, 64), dtype=torch.uint8)}
    batch["images"][0] = 200
    batch["tokens"] = encoders.tokenizer(RESNET)(["a cat", "a dog"])
    batch["labels"] = torch.tensor([1, 2])
    batch["colour"] = torch.tensor([1.0, 1, 1, 0, 0, 0]).expand(2, 2, 6)
    loss = objective(batch)
    loss.backward()
    assert loss.isfinite() and towers.visual.conv1.weight.grad is not None


def test_an_absent_or_damaged_encoder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    with pytest.raises(DataError, match=r"encoder\.pt: the encoder is absent or damaged; delete"):
        encoders.load(path)
    encoders.save(path, tiny.ARCH, encoders.build(tiny.ARCH, 0, with_text=False))
    path.write_bytes(path.read_bytes()[:-100])
    with (
        pytest.raises(DataError, match="absent or damaged"),
        pytest.warns(UserWarning, match="is damaged"),
    ):
        encoders.load(path)


@pytest.mark.parametrize("arch", [tiny.ARCH, RESNET])
def test_the_login_node_counts_the_weights_that_there_are(arch: Arch) -> None:
    towers = encoders.build(arch, 0, with_text=True)
    assert towers.text is not None
    found = tuple(sum(p.numel() for p in t.parameters()) for t in (towers.visual, towers.text))
    assert architectures.parameters(arch) == found
