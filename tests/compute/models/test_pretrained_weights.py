"""Weights that others trained: read to the same outputs, or refused in one sentence."""

from pathlib import Path

import open_clip
import pytest
import torch
import torchvision
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders, pretrained_weights
from hpc_xfer.errors import DataError

RESNET = "torchvision/resnet18"


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An open_clip model with random weights, in the old layout and in the new, and its outputs."""
    folder = tmp_path_factory.mktemp("released")
    torch.manual_seed(0)
    old = open_clip.create_model("RN50", pretrained=None).eval()
    new = open_clip.create_model("RN50", pretrained=None, force_custom_text=True).eval()
    for name, model in (("old", old), ("new", new)):
        torch.save(model.state_dict(), folder / f"{name}.pt")
        with torch.no_grad():
            outputs = (model.encode_image(images(), normalize=True), texts(model))
        torch.save([*outputs, model.logit_scale.detach()], folder / f"{name}.outputs.pt")
    state = {f"module.{k}": v for k, v in new.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, folder / "trainer.pt")
    torch.save(torch.load(folder / "new.outputs.pt"), folder / "trainer.outputs.pt")
    return {path.stem: path for path in folder.glob("*.pt")}


def load(arch: str, name: str, file: Path | None) -> encoders.Towers:
    return pretrained_weights.whole(arch, pretrained_weights.read(arch, name, file))[0]


def images() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def texts(model: nn.Module) -> Tensor:
    tokens = open_clip.get_tokenizer("RN50")(["a cat", "a dog"])
    out: Tensor = model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["old", "new", "trainer"])
def test_open_clip_files_give_their_outputs(name: str, clip_files: dict[str, Path]) -> None:
    towers = load("RN50", "mine", clip_files[name])
    towers.visual.eval()
    image, text, scale = torch.load(clip_files[f"{name}.outputs"])
    with torch.no_grad():
        assert torch.allclose(towers.image_features(images()), image, atol=1e-6)
        tokens = encoders.tokenizer("RN50")(["a cat", "a dog"])
        assert torch.allclose(towers.text_features(tokens), text, atol=1e-6)
    assert towers.logit_scale is not None and torch.equal(towers.logit_scale, scale)


@pytest.mark.slow
def test_clip_files_of_another_size_are_refused(clip_files: dict[str, Path]) -> None:
    with pytest.raises(
        DataError, match=r"lacks \d+ of 152 tensors of arch ViT-S-32, the first vis"
    ):
        load("ViT-S-32", "mine", clip_files["new"])


def test_a_torchvision_file_gives_its_outputs(tmp_path: Path) -> None:
    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    towers = load(RESNET, "mine", tmp_path / "weights.pth")
    model.fc = nn.Identity()
    x = images()[:, :, :64, :64]
    assert torch.equal(towers.visual.eval()(x), model.eval()(x))
    assert towers.normalization == encoders.IMAGENET_NORMALIZATION
    assert towers.text is None


def test_a_deeper_net_that_holds_a_shallower_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "resnet34.pth"
    torch.save(torchvision.models.resnet34().state_dict(), file)
    with pytest.raises(DataError) as caught:
        load(RESNET, "mine", file)
    assert str(caught.value) == (
        f"{file}: has layer1.2.bn1.bias, which arch {RESNET} does not have; name another file or "
        "another arch"
    )
    torch.save(torchvision.models.resnet18().state_dict(), file)
    with pytest.raises(DataError) as caught:
        load("torchvision/resnet34", "mine", file)
    assert str(caught.value) == (
        f"{file}: lacks 80 of 180 tensors of arch torchvision/resnet34, the first "
        "layer1.2.conv1.weight; name another file or another arch"
    )


def test_a_file_that_is_absent_or_no_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a\.pt: no such file; correct `released` in the site file"
    ):
        load(RESNET, "mine", tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(b"<html>not found</html>")
    torch.save([1, 2], tmp_path / "c.pt")
    torch.save({"weights": 3}, tmp_path / "d.pt")
    for name in "bcd":
        with pytest.raises(DataError) as caught:
            load(RESNET, "mine", tmp_path / f"{name}.pt")
        assert f"{name}.pt: " in str(caught.value) and "\n" not in str(caught.value)


class OpenAIs(nn.Module):
    """CLIP as OpenAI distributes it: as TorchScript, with three numbers beside the weights."""

    def __init__(self, model: open_clip.CLIP) -> None:
        super().__init__()
        for name, module in model.named_children():
            self.add_module(name, module)
        self.positional_embedding = model.positional_embedding
        self.text_projection, self.logit_scale = model.text_projection, model.logit_scale
        for name, value in (
            ("input_resolution", 224),
            ("context_length", 77),
            ("vocab_size", 49408),
        ):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, images: Tensor) -> Tensor:
        return images


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch advises against TorchScript
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openais_own_files_are_read_and_need_their_activation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("RN50-quickgelu", pretrained=None).eval()
    traced = torch.jit.trace(OpenAIs(model), images(), check_trace=False)
    torch.jit.save(traced, tmp_path / "RN50.pt")
    towers = load("RN50-quickgelu", "openai", tmp_path / "RN50.pt")
    with torch.no_grad():
        assert torch.equal(towers.visual.eval()(images()), model.encode_image(images()))
        tokens = encoders.tokenizer("RN50")(["a cat", "a dog"])
        assert torch.allclose(towers.text_features(tokens), texts(model), atol=1e-6)
    with pytest.raises(DataError) as refused:
        load("RN50", "openai", tmp_path / "RN50.pt")
    assert str(refused.value) == (
        f"{tmp_path}/RN50.pt: was trained with quick_gelu (OpenAI's file), arch RN50 has gelu; use "
        "arch RN50-quickgelu"
    )


def test_an_unknown_tag_lists_the_known() -> None:
    with pytest.raises(DataError) as caught:
        load("RN50", "laion5000b", None)
    assert str(caught.value) == (
        "RN50 has no released weights 'laion5000b' (known: openai, yfcc15m, cc12m); name one of "
        "these, or add a file to `released` in the site file"
    )
    with pytest.raises(DataError, match="known: none"):
        load(RESNET, "openai", None)


def test_a_tag_of_another_activation_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        load("RN50", "openai", None)
    assert str(caught.value) == (
        "RN50 openai: was trained with quick_gelu (open_clip), arch RN50 has gelu; use arch "
        "RN50-quickgelu"
    )
