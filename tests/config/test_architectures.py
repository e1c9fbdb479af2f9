"""Sizes by closed form, against the real modules."""

import json
from pathlib import Path

import open_clip
import pytest
import torchvision
from torch import nn

from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch, Architecture
from hpc_xfer.config.schema import validate
from tests.conftest import ROOT

GLYPH = ROOT / "grids/archs/glyph.json"


def of_file(path: Path) -> Architecture:
    found, mistakes = validate(Architecture, json.loads(path.read_text()))
    assert found is not None, mistakes
    return found


def count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def built(arch: Arch) -> tuple[int, int]:
    """Weights of the visual and of the text tower as open_clip makes them, without their values."""
    import torch

    config = architectures.model_config(arch)
    with torch.device("meta"):
        model = open_clip.CLIP(
            embed_dim=config["embed_dim"],
            vision_cfg=config["vision_cfg"],
            text_cfg=config["text_cfg"],
            quick_gelu=config.get("quick_gelu", False),
        )
    visual = count(model.visual)
    return visual, count(model) - visual - 1  # logit scale


@pytest.mark.parametrize("arch", ["RN50", "RN50x4", "RN101", "ViT-B-32", "ViT-B-16", "ViT-L-14"])
def test_the_closed_form_is_within_a_percent_of_open_clip(arch: str) -> None:
    assert architectures.parameters(arch) == pytest.approx(built(arch), rel=0.01)


def test_the_closed_form_is_within_a_percent_for_a_file_of_ours() -> None:
    arch = of_file(GLYPH)
    assert architectures.parameters(arch) == pytest.approx(built(arch), rel=0.01)


@pytest.mark.parametrize("name", sorted(architectures.TORCHVISION))
def test_torchvision_encoders_have_as_many_weights_as_said(name: str) -> None:
    import torch

    with torch.device("meta"):
        model = torchvision.models.get_model(name.removeprefix("torchvision/"), weights=None)
    visual, text = architectures.parameters(name) or (0, 0)
    assert visual == count(model) - count(model.fc)
    assert text == (architectures.parameters("RN50") or (0, 0))[1]


def test_towers_of_timm_are_not_counted_but_known() -> None:
    assert "convnext_base" in architectures.known_architectures()
    assert architectures.parameters("convnext_base") is None


def test_what_could_not_run_is_not_known() -> None:
    """Of open_clip's names four are CoCas, and nine others want Hugging Face's text towers."""
    names = {path.stem for path in Path(open_clip.__file__).parent.glob("model_configs/*.json")}
    refused = names - architectures.known_architectures()
    assert {name for name in refused if not name.startswith("coca_")} == {
        *("mt5-base-ViT-B-32", "mt5-xl-ViT-H-14", "roberta-ViT-B-32"),
        *("nllb-clip-base", "nllb-clip-base-siglip", "nllb-clip-large", "nllb-clip-large-siglip"),
        *("xlm-roberta-base-ViT-B-32", "xlm-roberta-large-ViT-H-14"),
    }
    assert {name for name in names if name.startswith("coca_")} < refused
    assert all(map(architectures.why_unsupported, refused))


def test_names_and_image_sizes_are_known_without_torch() -> None:
    assert {"RN50", "ViT-B-32", "torchvision/resnet50"} <= architectures.known_architectures()
    assert "RN51" not in architectures.known_architectures()
    assert [architectures.image_size(a) for a in ("RN50", "RN50x4", "torchvision/resnet18")] == [
        224, 288, 224,
    ]  # fmt: skip
    assert architectures.image_size(of_file(GLYPH)) == 32


def test_files_as_open_clip_has_them_are_accepted_but_for_those_of_hugging_face() -> None:
    files = sorted(Path(open_clip.__file__).parent.glob("model_configs/*.json"))
    known = [json.loads(path.read_text()) for path in files]
    kept = [{key: each[key] for key in Architecture.model_fields if key in each} for each in known]
    refused = [mistakes for each in kept if (mistakes := validate(Architecture, each)[1])]
    assert 0 < len(refused) < len(files) / 2
    assert all("Hugging Face" in text for mistakes in refused for _, text in mistakes)


@pytest.mark.parametrize("tower", ["vision_cfg", "text_cfg"])
@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("layers", None, "layers must be a whole number above 0 to 256"),
        ("layers", 2.5, "layers must be a whole number"),
        ("layers", [3, 4], "layers must be a whole number"),
        ("width", [768], "width must be a whole number"),
        ("width", True, "width must be a whole number"),
        ("mlp_ratio", None, "mlp_ratio must be a number above 0 to 32"),
        ("no_such_key", 1, "no_such_key is no key of open_clip"),
    ],
)
def test_a_value_that_open_clip_could_not_build_is_refused(
    tower: str, key: str, value: object, why: str
) -> None:
    content = {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}} | {tower: {key: value}}
    found, mistakes = validate(Architecture, content)
    assert found is None
    assert why in mistakes[0][1]


def test_a_vit_needs_a_patch_size_that_a_resnet_does_not() -> None:
    resnet = {"layers": [1, 1, 1, 1], "image_size": [32, 32], "patch_size": None}
    found, _ = validate(Architecture, {"embed_dim": 8, "vision_cfg": resnet})
    assert found is not None and architectures.parameters(found) is not None
    _, mistakes = validate(Architecture, {"embed_dim": 8, "vision_cfg": {"patch_size": None}})
    assert "patch_size must be a whole number for a ViT" in mistakes[0][1]
