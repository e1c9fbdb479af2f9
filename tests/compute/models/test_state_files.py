"""Checkpoints as people have them: the weights in them are found, or what is there is named."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hpc_xfer.compute.models import encoders, pretrained_weights, safetensors_export
from hpc_xfer.compute.models.pretrained_weights import LoadedWeights
from hpc_xfer.config.recipes import Arch
from hpc_xfer.config.released.released_entry import ReleasedEntry
from hpc_xfer.errors import DataError
from tests import steps, tiny

RESNET = "torchvision/resnet18"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def clip() -> State:
    """A small CLIP model of open_clip, in the layout of today."""
    towers = encoders.build(tiny.ARCH, seed=7, with_text=True)
    assert towers.text is not None and towers.logit_scale is not None
    visual = {f"visual.{k}": v for k, v in towers.visual.state_dict().items()}
    text = {f"text.{k}": v for k, v in towers.text.state_dict().items()}
    return {**visual, **text, "logit_scale": towers.logit_scale}


@pytest.fixture(scope="module")
def resnet() -> State:
    with encoders.seeded(7):
        return torchvision.models.resnet18(num_classes=10).state_dict()


def saved(file: Path, content: Any) -> Path:
    torch.save(content, file)
    return file


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def load(arch: Arch, file: Path, **stated: Any) -> tuple[State, LoadedWeights]:
    """The weights of both towers by name, and what was told."""
    entry = ReleasedEntry(path=str(file), **stated)
    towers, loaded = pretrained_weights.whole(arch, pretrained_weights.read(arch, "mine", entry))
    visual = prefixed(towers.visual.state_dict(), "visual.")
    text = {} if towers.text is None else prefixed(towers.text.state_dict(), "text.")
    scale = {} if towers.logit_scale is None else {"logit_scale": towers.logit_scale}
    return {**visual, **text, **scale}, loaded


def refused(arch: Arch, file: Path, **stated: Any) -> str:
    """The one short sentence, behind the name of the file."""
    with pytest.raises(DataError) as caught:
        load(arch, file, **stated)
    told = str(caught.value)
    assert "\n" not in told and told.startswith(f"{file}: ")
    told = told.removeprefix(f"{file}: ")
    assert len(told) < 300
    return told


def ours(state: State) -> State:
    """A torchvision file without its head, as our tower has it."""
    return prefixed({k: v for k, v in state.items() if not k.startswith("fc.")}, "visual.")


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.ones(1)}}, "param_groups": []}
CHECKPOINTS: dict[str, Callable[[State], Any]] = {
    "of open_clip's training": lambda s: {
        "epoch": 3, "name": "run", "state_dict": prefixed(s, "module."), "optimizer": OPTIMIZER,
        "scaler": {"scale": 1.0},
    },
    "of Lightning": lambda s: {
        "state_dict": prefixed(s, "model."), "optimizer_states": [OPTIMIZER], "loops": {"fit": {}},
        "callbacks": {"Checkpoint": {"best": torch.tensor(1.0), "last": torch.tensor(2.0)}},
        "pytorch-lightning_version": "2.1",
    },
    "of timm with its arguments": lambda s: {
        "epoch": 3, "args": argparse.Namespace(lr=1.0), "state_dict": s, "optimizer": OPTIMIZER,
    },
    "under model": lambda s: {"model": s, "optimizer": OPTIMIZER, "epoch": 1},
    "under model_state_dict": lambda s: {
        "model_state_dict": s, "optimizer_state_dict": OPTIMIZER, "loss": torch.tensor(0.5),
    },
    "under net": lambda s: {"net": prefixed(s, "module."), "acc": 93.1},
    "under ema alone": lambda s: {"ema": s},
    "two deep": lambda s: {"checkpoint": {"model": s, "epoch": 2}},
    "averaged by torch": lambda s: {"n_averaged": torch.tensor(3), **prefixed(s, "module.")},
    "in half precision": lambda s: {k: v.half().float() for k, v in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_are_found_in_a_checkpoint(name: str, clip: State, tmp_path: Path) -> None:
    content = CHECKPOINTS[name](clip)
    found, loaded = load(tiny.ARCH, saved(tmp_path / "ckpt.pt", content))
    expected = clip if "half" not in name else content
    assert steps.equal(found, expected)
    assert loaded.parts == ("visual", "text", "logit_scale") and loaded.left_out == ()


@given(
    wrappers=st.lists(
        st.sampled_from(["module", "_orig_mod", "model", "net", "encoder", "backbone"]), max_size=4
    ),
    suffix=st.sampled_from([".pt", ".safetensors"]),
)
@settings(max_examples=12)
def test_wrappers_come_off_in_any_order_and_nesting(
    wrappers: list[str], suffix: str, clip: State, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("wrapped") / f"w{suffix}"
    state = prefixed(clip, "".join(f"{each}." for each in wrappers))
    if suffix == ".pt":
        torch.save(state, file)
    else:
        safetensors.torch.save_file(state, file)
    found, loaded = load(tiny.ARCH, file)
    assert steps.equal(found, clip) and loaded.left_out == ()


def test_towers_that_were_compiled_one_by_one_are_found(clip: State, tmp_path: Path) -> None:
    state = {k.replace("visual.", "visual._orig_mod."): v for k, v in clip.items()}
    found, _ = load(tiny.ARCH, saved(tmp_path / "w.pt", prefixed(state, "module.")))
    assert steps.equal(found, clip)


def test_formats_of_torch_are_read_whatever_the_name(clip: State, tmp_path: Path) -> None:
    old = tmp_path / "model_best.pth.tar"
    torch.save({"state_dict": clip}, old, _use_new_zipfile_serialization=False)
    assert steps.equal(load(tiny.ARCH, old)[0], clip)
    unnamed = tmp_path / "blob"
    safetensors.torch.save_file(clip, unnamed)
    assert steps.equal(load(tiny.ARCH, unnamed)[0], clip)


def test_half_precision_becomes_single(clip: State, tmp_path: Path) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in clip.items()}
    found, _ = load(tiny.ARCH, saved(tmp_path / "w.pt", halves))
    assert {v.dtype for v in found.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(found[k], halves[k].to(found[k].dtype)) for k in halves)


def test_our_own_encoder_files_are_read(tmp_path: Path) -> None:
    towers = encoders.build(tiny.ARCH, seed=3, with_text=True)
    towers.normalization = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    encoders.save(tmp_path / "encoder.pt", tiny.ARCH, towers)
    safetensors_export.write(tmp_path / "encoder.safetensors", tiny.ARCH, towers)
    for name in ("encoder.pt", "encoder.safetensors"):
        weights = pretrained_weights.read(tiny.ARCH, "mine", tmp_path / name)
        found, loaded = pretrained_weights.whole(tiny.ARCH, weights)
        assert steps.equal(found.visual.state_dict(), towers.visual.state_dict())
        assert found.normalization == towers.normalization
        assert loaded.notes == () and weights.facts.activation == "gelu"


def test_several_sets_of_weights_need_a_key(resnet: State, tmp_path: Path) -> None:
    other = {k: v + 1 for k, v in resnet.items()}
    file = saved(tmp_path / "w.pt", {"model": resnet, "model_ema": other, "optimizer": OPTIMIZER})
    assert refused(RESNET, file) == (
        "holds several sets of weights (model, model_ema); state one of them in the site file "
        "with `key`"
    )
    assert steps.equal(load(RESNET, file, key="model_ema")[0], ours(other))
    assert steps.equal(load(RESNET, file, key="model")[0], ours(resnet))
    assert refused(RESNET, file, key="ema") == (
        "has no 'ema' (it has model, model_ema, optimizer); correct `key`"
    )


def test_moco_has_two_encoders_and_one_is_named(resnet: State, tmp_path: Path) -> None:
    tower = {k: v for k, v in resnet.items() if not k.startswith("fc.")}
    head = {"fc.0.weight": torch.ones(4, 4), "fc.2.weight": torch.ones(4, 4)}
    online, momentum = {**tower, **head}, {k: v + 1 for k, v in {**tower, **head}.items()}
    state = {
        **prefixed(online, "module.encoder_q."), **prefixed(momentum, "module.encoder_k."),
        "module.queue": torch.ones(4, 8), "module.queue_ptr": torch.zeros(1),
    }  # fmt: skip
    file = saved(tmp_path / "moco.pth.tar", {"arch": "resnet18", "state_dict": state})
    assert refused(RESNET, file) == (
        "holds several image towers (encoder_q, encoder_k); state one of them in the site file "
        "with `key`"
    )
    found, loaded = load(RESNET, file, key="encoder_q")
    assert steps.equal(found, ours(resnet))
    assert loaded.left_out == ("fc.*",)


def test_heads_are_left_out_and_named(resnet: State, tmp_path: Path) -> None:
    state = {**resnet, "projector.0.weight": torch.ones(2, 2), "projector.0.bias": torch.ones(2)}
    file = saved(tmp_path / "w.pt", prefixed(state, "backbone."))
    assert load(RESNET, file)[1].left_out == ("backbone.fc.*", "backbone.projector.*")
    beside = {**prefixed(resnet, "backbone."), "projection_head.weight": torch.ones(2, 2)}
    found, loaded = load(RESNET, saved(tmp_path / "v.pt", beside))
    assert steps.equal(found, ours(resnet))
    assert loaded.left_out == ("projection_head.weight", "backbone.fc.*")


def test_a_layer_that_the_arch_has_not_is_no_head(clip: State, tmp_path: Path) -> None:
    state = {**clip, "visual.ln_pre.weight": torch.ones(8)}
    assert refused(tiny.ARCH, saved(tmp_path / "w.pt", state)) == (
        "has visual.ln_pre.weight, which arch tiny does not have; name another file or another arch"
    )


def test_copies_of_one_tower_are_one(resnet: State, tmp_path: Path) -> None:
    """The robustness library saves its model twice, the second time below the attacker."""
    state = {
        **prefixed(resnet, "module.model."), **prefixed(resnet, "module.attacker.model."),
        "module.normalizer.new_mean": torch.zeros(3),
    }  # fmt: skip
    found, loaded = load(RESNET, saved(tmp_path / "w.pt", {"model": state}))
    assert steps.equal(found, ours(resnet))
    assert {"attacker.*", "normalizer.new_mean", "model.fc.*"} < set(loaded.left_out)


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


def test_a_file_that_was_saved_without_sums_is_read(resnet: State, tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        file = saved(tmp_path / "w.pth", resnet)
    finally:
        torch.serialization.set_crc32_options(True)
    assert steps.equal(load(RESNET, file)[0], ours(resnet))


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


def test_shared_tensors_are_read(clip: State, tmp_path: Path) -> None:
    state = {**clip, "visual.bn1.weight": clip["visual.bn1.bias"]}
    assert steps.equal(load(tiny.ARCH, saved(tmp_path / "w.pt", state))[0], state)


def test_files_older_than_batch_counters_are_read(resnet: State, tmp_path: Path) -> None:
    old = {k: v for k, v in resnet.items() if not k.endswith("num_batches_tracked")}
    assert steps.equal(load(RESNET, saved(tmp_path / "w.pth", old))[0], ours(resnet))


def test_numbers_of_numpy_beside_weights_are_data(resnet: State, tmp_path: Path) -> None:
    best = {"acc1": np.float64(71.2), "acc5": np.float32(90.1), "epoch": np.int64(3)}
    content = {"state_dict": resnet, **best, "better": np.bool_(True)}
    assert steps.equal(load(RESNET, saved(tmp_path / "w.pth.tar", content))[0], ours(resnet))


class Hyper:
    """Parameters as training scripts save them beside weights."""


def test_objects_beside_weights_are_named_and_not_run(resnet: State, tmp_path: Path) -> None:
    content = {"state_dict": resnet, "hyper_parameters": Hyper()}
    assert refused(RESNET, saved(tmp_path / "w.ckpt", content)) == (
        "holds an object (tests.compute.models.test_state_files.Hyper) beside tensors, which is "
        "code and is not run; save its state dict alone: torch.save(model.state_dict(), FILE)"
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


def test_a_folder_of_the_hub_is_read_with_its_config(clip: State, tmp_path: Path) -> None:
    safetensors.torch.save_file(clip, tmp_path / "open_clip_model.safetensors")
    images = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "size": [32, 32]}
    config = {"model_cfg": tiny.ARCH.model_dump(), "preprocess_cfg": images}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    weights = pretrained_weights.read(tiny.ARCH, "mine", tmp_path)
    towers, loaded = pretrained_weights.whole(tiny.ARCH, weights)
    assert towers.normalization == ((0.5,) * 3, (0.25,) * 3) and loaded.notes == ()
    config["model_cfg"]["text_cfg"] = {**tiny.ARCH.text_cfg, "heads": 4}  # of the same tensors
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    told = refused(tiny.ARCH, tmp_path / "open_clip_model.safetensors")
    assert told == ("open_clip_config.json has text_cfg.heads 4, arch tiny has 2; use another arch")


def test_a_tower_without_position_embeddings_takes_a_stated_size(
    resnet: State, tmp_path: Path
) -> None:
    entry = ReleasedEntry(path=str(saved(tmp_path / "w.pt", resnet)), size=96)
    weights = pretrained_weights.read(RESNET, "mine", entry)
    assert pretrained_weights.whole(RESNET, weights)[0].image_size == 96


@pytest.mark.parametrize("name", ["open_clip_model", "model"])
def test_shards_are_one_file(name: str, clip: State, tmp_path: Path) -> None:
    names = sorted(clip)
    halves = {"a.safetensors": names[:20], "b.safetensors": names[20:]}
    for file, part in halves.items():
        safetensors.torch.save_file({n: clip[n] for n in part}, tmp_path / file)
    index = tmp_path / f"{name}.safetensors.index.json"
    placed = {tensor: file for file, part in halves.items() for tensor in part}
    index.write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    for path in (index, tmp_path):
        assert steps.equal(load(tiny.ARCH, path)[0], clip)
    assert "has no 'ema'" in refused(tiny.ARCH, index, key="ema")
    (tmp_path / "b.safetensors").unlink()
    assert (
        refused(tiny.ARCH, index) == "1 of 2 files are missing, the first b.safetensors; fetch them"
    )
