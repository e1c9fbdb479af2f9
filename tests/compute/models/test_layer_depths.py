"""Layers of encoders, from the stem to the head."""

import pytest
from torch import nn

from hpc_xfer.compute.finetuning.classifier import Classifier
from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.layer_depths import layer_depths
from hpc_xfer.config.recipes import Arch, Architecture
from hpc_xfer.errors import DataError
from tests import steps, tiny

TIMM = Architecture(
    embed_dim=16,
    vision_cfg={
        "timm_model_name": "vit_tiny_patch16_224", "timm_pool": "", "image_size": 224,
    },
    text_cfg=tiny.ARCH.text_cfg,
)  # fmt: skip


def classifier(arch: Arch) -> Classifier:
    return Classifier(encoders.build(arch, seed=0, with_text=False), 3, smoothing=0)


def by_layer(arch: Arch) -> dict[int, set[str]]:
    """The first two parts of the names of each layer's weights, after `visual`."""
    model = classifier(arch)
    depths = layer_depths(model)
    assert list(depths) == [name for name, _ in model.named_parameters()]
    layers: dict[int, set[str]] = {}
    for name, depth in depths.items():
        layers.setdefault(depth, set()).add(name.removeprefix("visual.").rsplit(".", 1)[0])
    return layers


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_each_block_of_a_vision_transformer_is_a_layer() -> None:
    layers = by_layer(steps.VIT)
    assert layers[0] == {"class_embedding", "positional_embedding", "conv1", "ln_pre"}
    for block in (0, 1):
        assert all(name.startswith(f"transformer.resblocks.{block}.") for name in layers[block + 1])
    assert layers[3] == {"ln_post", "proj", "head"}
    assert len(layers) == 4


def test_each_stage_of_a_resnet_is_a_layer() -> None:
    layers = by_layer(tiny.ARCH)
    assert layers[0] == {"conv1", "bn1", "conv2", "bn2", "conv3", "bn3"}
    assert [tops(layers[i]) for i in (1, 2, 3, 4)] == [{f"layer{i}"} for i in (1, 2, 3, 4)]
    assert tops(layers[5]) == {"attnpool", "head"}
    assert len(layers) == 6


def test_a_resnet_of_torchvision_has_the_same_layers() -> None:
    layers = by_layer("torchvision/resnet18")
    assert layers[0] == {"conv1", "bn1"} and layers[5] == {"head"}
    assert [tops(layers[i]) for i in (1, 2, 3, 4)] == [{f"layer{i}"} for i in (1, 2, 3, 4)]


def test_models_of_timm_have_the_layers_that_timm_knows() -> None:
    layers = by_layer(TIMM)
    assert layers[0] == {"trunk", "trunk.patch_embed.proj"}  # with its two embeddings
    assert all(name.startswith("trunk.blocks.0.") for name in layers[1])
    assert layers[13] == {"head.proj", "head"}


def test_an_encoder_with_unknown_layers_is_refused() -> None:
    model = nn.Module()
    model.visual = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(DataError, match=r"layer_decay is not offered for this encoder \(Sequentia"):
        layer_depths(model)


def test_layers_do_not_depend_on_what_is_trained() -> None:
    model = classifier(steps.VIT)
    before = layer_depths(model)
    model.visual.requires_grad_(False)
    assert layer_depths(model) == before
