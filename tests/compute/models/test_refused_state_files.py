"""Files of weights that are refused, each in one short sentence."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders
from tests import steps, tiny
from tests.compute.models.state_dicts import OPTIMIZER, RESNET, State, refused, saved


def test_a_tower_that_lacks_tensors_tells_their_number(clip: State, tmp_path: Path) -> None:
    state = {k: v for k, v in clip.items() if not k.startswith("visual.layer4.0.bn")}
    told = refused(tiny.ARCH, saved(tmp_path / "w.pt", state))
    assert told == (
        "lacks 12 of 104 tensors of arch tiny, the first visual.layer4.0.bn1.weight; name another "
        "file or another arch"
    )
    text = {k: v for k, v in clip.items() if k != "text.ln_final.bias"}
    assert refused(tiny.ARCH, saved(tmp_path / "w.pt", text)) == (
        "lacks 1 of 17 tensors of arch tiny, the first text.ln_final.bias; name another file or "
        "another arch"
    )


def test_tensors_of_another_size_tell_both(clip: State, tmp_path: Path) -> None:
    state = {**clip, "visual.conv1.weight": torch.ones(8, 3, 3, 3)}
    assert refused(tiny.ARCH, saved(tmp_path / "w.pt", state)) == (
        "visual.conv1.weight is 8x3x3x3, arch tiny has 4x3x3x3; name another file or another arch"
    )
    state = {**clip, "visual.conv1.weight": torch.ones(0)}
    assert "visual.conv1.weight is 0, arch tiny has" in refused(
        tiny.ARCH, saved(tmp_path / "w.pt", state)
    )


def test_another_image_size_is_told_in_pixels(clip: State, tmp_path: Path) -> None:
    name = "visual.attnpool.positional_embedding"
    state = {**clip, name: torch.ones(5, clip[name].shape[1])}
    assert refused(tiny.ARCH, saved(tmp_path / "w.pt", state)) == (
        "was trained with images of 64 pixels, arch tiny takes 32; use an arch of that size"
    )
    vit = encoders.build(steps.VIT, seed=0, with_text=True)
    state = vit.visual.state_dict()
    state["positional_embedding"] = torch.ones(17, 32)
    assert "was trained with images of 64 pixels, arch custom takes 32" in refused(
        steps.VIT, saved(tmp_path / "v.pt", state)
    )


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float, clip: State, tmp_path: Path) -> None:
    """One number is enough, in any part that is used."""
    for name in ("visual.conv1.weight", "text.ln_final.bias", "visual.bn1.running_var"):
        broken = clip[name].clone()
        broken.view(-1)[1] = bad
        told = refused(tiny.ARCH, saved(tmp_path / "w.pt", {**clip, name: broken}))
        assert told.startswith("1 of ") and f"the first {name.split('.', 1)[1]}" in told
    told = refused(tiny.ARCH, saved(tmp_path / "w.pt", {**clip, "logit_scale": torch.tensor(bad)}))
    assert "NaN or infinite" in told and "logit_scale" in told


def test_numbers_that_are_too_large_for_an_encoder_are_refused(clip: State, tmp_path: Path) -> None:
    large = {**clip, "visual.bn1.weight": clip["visual.bn1.weight"].double() * 1e300}
    told = refused(tiny.ARCH, saved(tmp_path / "w.pt", large))
    assert told.startswith("1 of ") and "the first bn1.weight" in told


@pytest.mark.parametrize("damage", [b"\0" * 64, b"\xff"])
def test_a_file_whose_sums_are_wrong_is_refused(
    damage: bytes, resnet: State, tmp_path: Path
) -> None:
    """torch reads it all the same: a piece that a download left out becomes weights of 0."""
    file = saved(tmp_path / "w.pth", resnet)
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(damage)
    assert refused(RESNET, file).startswith("is not a file of weights, or damaged (Bad CRC-32 for ")


ODD = ("quantised", "int8", "complex64", "a meta tensor", "sparse", "bool")


def odd_tensors(like: Tensor) -> dict[str, Tensor]:
    return {
        "quantised": torch.quantize_per_tensor(like, 0.1, 0, torch.qint8),
        "int8": like.to(torch.int8),
        "complex64": like.to(torch.complex64),
        "a meta tensor": like.to("meta"),
        "sparse": like.to_sparse(),
        "bool": like > 0,
    }


@pytest.mark.filterwarnings("ignore")  # torch warns of quantised and of sparse tensors
@pytest.mark.parametrize("kind", ODD)
def test_tensors_that_are_no_plain_numbers_are_refused(
    kind: str, clip: State, tmp_path: Path
) -> None:
    odd = odd_tensors(clip["visual.conv1.weight"])[kind]
    told = refused(tiny.ARCH, saved(tmp_path / "w.pt", {**clip, "visual.conv1.weight": odd}))
    assert kind in told and told.endswith("save the weights as plain tensors in fp32, bf16 or fp16")


class Hyper:
    """Parameters as training scripts save them beside weights."""


def test_objects_beside_weights_are_named_and_not_run(resnet: State, tmp_path: Path) -> None:
    content = {"state_dict": resnet, "hyper_parameters": Hyper()}
    assert refused(RESNET, saved(tmp_path / "w.ckpt", content)) == (
        f"holds an object ({__name__}.Hyper) beside tensors, which is code and is not run; save "
        "its state dict alone: torch.save(model.state_dict(), FILE)"
    )
    told = refused(RESNET, saved(tmp_path / "model.pt", nn.Sequential(nn.Linear(2, 2))))
    assert "torch.nn.modules.container.Sequential" in told


FOREIGN = {
    "vision_model.encoder.layers.0.self_attn.k_proj.weight": "Hugging Face transformers",
    "clip.vision_model.embeddings.class_embedding": "Hugging Face transformers",
    "vit.encoder.layer.0.attention.attention.key.weight": "Hugging Face transformers",
    "blocks.0.attn.qkv.weight": "timm",
    "stages.0.blocks.0.conv_dw.weight": "timm",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_names_of_another_library_are_known(name: str, tmp_path: Path) -> None:
    state = {name: torch.ones(2, 2), "logit_scale": torch.tensor(1.0), "norm.weight": torch.ones(2)}
    told = refused(tiny.ARCH, saved(tmp_path / "w.pt", state))
    assert told.startswith(f"has the names of {FOREIGN[name]}; take ")


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    for content in (
        [1, 2],
        {"weights": 3},
        torch.ones(3),
        {},
        {"epoch": 3, "optimizer": OPTIMIZER},
    ):
        assert "is not a state dict" in refused(RESNET, saved(tmp_path / "w.pt", content))
    (tmp_path / "w.pt").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80")
    assert "is not a file of weights, or damaged" in refused(RESNET, tmp_path / "w.pt")


@given(
    content=st.one_of(
        st.binary(max_size=600),
        st.binary(max_size=80).map(lambda rest: b"PK\x03\x04" + rest),
        st.binary(max_size=80).map(lambda rest: b"\x80\x02}" + rest),
        st.text(max_size=60).map(lambda t: len(t.encode()).to_bytes(8, "little") + t.encode()),
        st.dictionaries(st.text(max_size=4), st.integers() | st.lists(st.integers()), max_size=3)
        .map(json.dumps)
        .map(lambda t: len(t).to_bytes(8, "little") + t.encode()),
    ),
    suffix=st.sampled_from([".pt", ".safetensors", ".bin", ""]),
)
@settings(max_examples=60)
@pytest.mark.filterwarnings("ignore")  # torch warns of some pickles
def test_any_bytes_are_refused_in_one_sentence(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("any") / f"w{suffix}"
    file.write_bytes(content)
    assert refused(RESNET, file).count(";") >= 1
