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
from hypothesis import given, settings
from hypothesis import strategies as st

from hpc_xfer.compute.models import encoders, pretrained_weights, safetensors_export
from hpc_xfer.config.released.released_entry import ReleasedEntry
from tests import steps, tiny
from tests.compute.models.state_dicts import (
    OPTIMIZER,
    RESNET,
    State,
    load,
    ours,
    prefixed,
    refused,
    saved,
)

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


def test_a_file_that_was_saved_without_sums_is_read(resnet: State, tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        file = saved(tmp_path / "w.pth", resnet)
    finally:
        torch.serialization.set_crc32_options(True)
    assert steps.equal(load(RESNET, file)[0], ours(resnet))


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
