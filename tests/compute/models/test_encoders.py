"""Encoders: one visual tower for all methods, saved so that others can read it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
import torchvision
from open_clip import factory
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import encoders, safetensors_export
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.pretraining.objectives import make_objective
from hpc_xfer.config import architectures
from hpc_xfer.config.recipes import Arch, Architecture, Trained
from hpc_xfer.errors import DataError
from tests import pages, tiny

RESNET = "torchvision/resnet18"
VIT = Architecture(
    name="tiny-vit",
    embed_dim=16,
    vision_cfg={"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    text_cfg={"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
)
BY_NAME: dict[str, Arch] = {"tiny": tiny.ARCH, "tiny-vit": VIT}


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
    towers.normalization = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    if with_text:
        towers.logit_scale = torch.tensor(3.25)
    encoders.save(tmp_path / "encoder.pt", arch, towers)
    found_arch, found = encoders.load(tmp_path / "encoder.pt")
    assert found_arch == arch or dump(found_arch) == dump(arch)  # the name labels tables alone
    assert (found.dim, found.image_size) == (towers.dim, towers.image_size)
    assert found.normalization == towers.normalization
    x = images(found.image_size)
    for each in (towers, found):
        each.visual.eval()
    assert torch.equal(towers.image_features(x), found.image_features(x))
    if with_text:
        tokens = encoders.tokenizer(arch)(["digit zero", "a cat"])
        assert torch.equal(towers.text_features(tokens), found.text_features(tokens))
        assert towers.image_features(x).shape[1] == towers.text_features(tokens).shape[1]
        assert found.logit_scale == torch.tensor(3.25)
        state = torch.load(tmp_path / "encoder.pt", weights_only=True)
        assert (state["tokenizer"], state["context_length"]) == (
            ("RN50", 77) if arch == RESNET else ("SimpleTokenizer", 8)
        )
    else:
        assert found.text is None


@pytest.fixture
def known_to_open_clip(tmp_path: Path) -> Iterator[None]:
    """Our small models as files of open_clip's, until the test ends."""
    before, paths = dict(factory._MODEL_CONFIGS), list(factory._MODEL_CONFIG_PATHS)
    for name, arch in (("tiny", tiny.ARCH), ("tiny-vit", VIT)):
        (tmp_path / f"{name}.json").write_text(arch.model_dump_json())
        open_clip.add_model_config(tmp_path / f"{name}.json")
    yield
    factory._MODEL_CONFIGS.clear()
    factory._MODEL_CONFIGS.update(before)
    factory._MODEL_CONFIG_PATHS[:] = paths


def exported_of(folder: Path, arch: Arch, with_text: bool) -> tuple[Path, Towers]:
    """Weights that lie in memory as after training."""
    towers = encoders.build(arch, seed=3, with_text=with_text)
    towers.visual.to(memory_format=torch.channels_last).eval()
    safetensors_export.write(folder / "encoder.safetensors", arch, towers)
    return folder / "encoder.safetensors", towers


@pytest.mark.parametrize("name", ["tiny", "tiny-vit", pytest.param("RN50", marks=pytest.mark.slow)])
def test_plain_open_clip_makes_our_clip_with_all_its_parts(
    name: str, tmp_path: Path, known_to_open_clip: None
) -> None:
    path, towers = exported_of(tmp_path, BY_NAME.get(name, name), with_text=True)
    model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(path))
    model.eval()
    x = images(towers.image_size)
    tokens = encoders.tokenizer(BY_NAME.get(name, name))(["a cat", "a dog"])
    assert_close(model.encode_image(x, normalize=True), towers.image_features(x))
    assert_close(model.encode_text(tokens, normalize=True), towers.text_features(tokens))
    assert towers.logit_scale is not None and torch.equal(model.logit_scale, towers.logit_scale)
    normalize = preprocess.transforms[-1]
    assert (tuple(normalize.mean), tuple(normalize.std)) == towers.normalization


@pytest.mark.parametrize("name", ["tiny", "tiny-vit"])
def test_plain_open_clip_reads_a_visual_tower_alone(
    name: str, tmp_path: Path, known_to_open_clip: None
) -> None:
    path, towers = exported_of(tmp_path, BY_NAME[name], with_text=False)
    model = open_clip.create_model(name, pretrained_image_path=str(path)).eval()
    x = images(towers.image_size)
    assert_close(model.encode_image(x, normalize=True), towers.image_features(x))


def test_plain_open_clip_makes_our_siglip_with_its_bias(
    tmp_path: Path, known_to_open_clip: None
) -> None:
    towers = encoders.build(tiny.ARCH, seed=3, with_text=True)
    towers.logit_scale, towers.logit_bias = torch.tensor(2.5), torch.tensor(-9.5)
    towers.visual.eval()
    path = tmp_path / "encoder.safetensors"
    safetensors_export.write(path, tiny.ARCH, towers)
    model = open_clip.create_model("tiny", pretrained=str(path), init_logit_bias=-10).eval()
    x, tokens = images(32), encoders.tokenizer(tiny.ARCH)(["a cat", "a dog"])
    expected = towers.image_features(x) @ towers.text_features(tokens).T * math.exp(2.5) - 9.5
    assert_close(model.get_logits(x, tokens)[0], expected)
    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, towers)
    assert encoders.load(tmp_path / "encoder.pt")[1].logit_bias == torch.tensor(-9.5)


@pytest.mark.parametrize("with_text", [True, False])
def test_plain_torchvision_reads_our_product(with_text: bool, tmp_path: Path) -> None:
    path, towers = exported_of(tmp_path, RESNET, with_text)
    model = torchvision.models.resnet18()
    missing, beyond = model.load_state_dict(load_file(path), strict=False)
    assert missing == ["fc.weight", "fc.bias"]
    assert {name.split(".")[0] for name in beyond} == (
        {"text", "projection", "logit_scale"} if with_text else set()
    )
    model.fc = torch.nn.Identity()
    assert_close(model.eval()(images(64)), towers.visual(images(64)))


def test_the_header_of_an_export_says_how_to_feed_it(tmp_path: Path) -> None:
    path, _ = exported_of(tmp_path, tiny.ARCH, with_text=True)
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    assert json.loads(told["arch"]) == tiny.ARCH.model_dump()
    assert json.loads(told["mean"]) == list(encoders.CLIP_NORMALIZATION[0])
    assert json.loads(told["std"]) == list(encoders.CLIP_NORMALIZATION[1])
    assert (told["image_size"], told["context_length"]) == ("32", "8")
    assert (told["tokenizer"], told["format"]) == ("SimpleTokenizer", "pt")
    path, _ = exported_of(tmp_path, RESNET, with_text=True)
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    assert (told["arch"], told["tokenizer"], told["context_length"]) == (RESNET, "RN50", "77")


@pytest.mark.usefixtures("known_to_open_clip")
def test_the_lines_of_the_page_load_the_three_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With small models in the place of large ones."""
    [text] = [
        fence for fence in pages.fences("docs/encoders.md", "python") if "safetensors" in fence
    ]
    monkeypatch.chdir(tmp_path)
    for name, arch, with_text in (
        ("clip", tiny.ARCH, True), ("simclr", tiny.ARCH, False), ("resnet", RESNET, False),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        exported_of(tmp_path / name, arch, with_text)
    text = text.replace("STORE/runs/", "").replace("RN50", "tiny").replace("resnet50", "resnet18")
    exec(text, {})


def test_a_supervised_product_is_a_classifier_with_names(tmp_path: Path) -> None:
    towers = encoders.build(tiny.ARCH, seed=3, with_text=False)
    towers.classes, towers.head = ("cat", "dog"), torch.nn.Linear(towers.dim, 2)
    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, towers)
    _, found = encoders.load(tmp_path / "encoder.pt")
    assert found.classes == ("cat", "dog") and found.head is not None
    x = torch.ones(1, towers.dim)
    assert torch.equal(found.head(x), towers.head(x))


@pytest.mark.parametrize("arch", [tiny.ARCH, VIT, RESNET], ids=["resnet", "vit", "torchvision"])
@pytest.mark.parametrize("method", ["clip", "siglip", "simclr", "supervised"])
def test_every_kind_of_tower_serves_every_method_and_begins_alike(method: str, arch: Arch) -> None:
    recipe = tiny.pretraining(method, arch=arch).recipe
    assert isinstance(recipe, Trained)
    towers = encoders.build(arch, seed=0, with_text=recipe.uses_text)
    start = encoders.build(arch, seed=0, with_text=False).visual.state_dict()
    begun = towers.visual.state_dict()
    assert begun.keys() == start.keys()
    assert all(torch.equal(begun[name], start[name]) for name in start)
    objective = make_objective(recipe, towers, 16, World())
    n = (2, 2) if method == "simclr" else (2,)
    side = 64 if arch == RESNET else 32
    batch = {"images": torch.zeros((*n, 3, side, side), dtype=torch.uint8)}
    batch["images"][0] = 200
    batch["tokens"] = encoders.tokenizer(arch)(["a cat", "a dog"])
    batch["labels"] = torch.tensor([1, 2])
    batch["color"] = torch.tensor([1.0, 1, 1, 0, 0, 0]).expand(2, 2, 6)
    loss = objective(batch)
    loss.backward()
    first = next(towers.visual.parameters())
    assert loss.isfinite() and first.grad is not None


def test_an_absent_or_damaged_encoder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    with pytest.raises(DataError, match=r"encoder\.pt: the encoder is missing or damaged; delete"):
        encoders.load(path)
    encoders.save(path, tiny.ARCH, encoders.build(tiny.ARCH, 0, with_text=False))
    path.write_bytes(path.read_bytes()[:-100])
    with (
        pytest.raises(DataError, match="missing or damaged"),
        pytest.warns(UserWarning, match="is damaged"),
    ):
        encoders.load(path)


@pytest.mark.parametrize("arch", [tiny.ARCH, RESNET])
def test_the_login_node_counts_the_weights_that_there_are(arch: Arch) -> None:
    towers = encoders.build(arch, 0, with_text=True)
    assert towers.text is not None
    found = tuple(sum(p.numel() for p in t.parameters()) for t in (towers.visual, towers.text))
    assert architectures.parameters(arch) == found
