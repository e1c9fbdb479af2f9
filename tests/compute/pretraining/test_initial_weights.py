"""Pre-trainings that start from weights: what is taken, what is told, what is refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import open_clip
import pytest
import safetensors.torch
import torch

from hpc_xfer.compute.distributed.process_group import World
from hpc_xfer.compute.models import encoders, pretrained_weights, safetensors_export
from hpc_xfer.compute.pretraining.objectives import make_objective
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Run
from hpc_xfer.system import set_aside
from tests import steps, tiny

STILL: dict[str, Any] = {"lr": 1e-12, "weight_decay": 0.0, "grad_clip": None}  # nothing moves


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of a CLIP model: open_clip's own layout, and the image tower alone."""
    folder = tmp_path_factory.mktemp("weights")
    config = tiny.ARCH.model_dump()
    torch.manual_seed(5)
    model = open_clip.CustomTextCLIP(
        embed_dim=16, vision_cfg=config["vision_cfg"], text_cfg=config["text_cfg"],
        init_logit_scale=3.0, init_logit_bias=-7.0,
    )  # fmt: skip
    torch.save({"state_dict": model.state_dict()}, folder / "both.pt")
    header = {"mean": "[0.5, 0.5, 0.5]", "std": "[0.25, 0.25, 0.25]"}
    safetensors.torch.save_file(model.visual.state_dict(), folder / "image.safetensors", header)
    clip = {k: v for k, v in model.state_dict().items() if k != "logit_bias"}
    torch.save(clip, folder / "clip.pt")
    return {path.stem: path for path in folder.iterdir()}


def trained(
    root: Path, shards: Path, files: dict[str, Path], method: str, **changes: Any
) -> RunDir:
    run = tiny.pretraining(method, **changes)
    return tiny.finished(Store(root), run, shards, released=files)


def stopped(
    root: Path, shards: Path, files: dict[str, Path], **changes: Any
) -> tuple[Store, Run, RunDir]:
    """A pre-training by clip that was asked to stop, and has left a checkpoint."""
    store, run, stop = Store(root), tiny.pretraining("clip", **changes), tiny.StopAfter(4)
    events = tiny.execute(store, run, shards, stop=stop, released=files, checkpoint_minutes=1e-9)
    assert events[-1]["event"] != "done"
    return store, run, store.run(run.id)


def told(run: RunDir) -> dict[str, Any]:
    weights: dict[str, Any] = tiny.record(run)["provenance"]["data"]["weights"]
    return weights


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("method", ["clip", "siglip", "simclr", "supervised"])
def test_every_method_starts_from_the_towers_that_it_has(
    method: str, tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    run = trained(tmp_path, shards, files, method, init="both", **STILL)
    model = torch.load(files["both"])["state_dict"]
    product = tiny.weights(run)
    moved = [n for n in product if "running" in n or "num_batches" in n]
    kept = [n for n in product if n not in moved]
    assert kept and all(torch.allclose(product[n], model[n], atol=1e-6) for n in kept)
    parts = {
        "clip": ["visual", "text", "logit_scale", "logit_bias"],
        "siglip": ["visual", "text", "logit_scale", "logit_bias"],
    }.get(method, ["visual"])
    found = told(run)
    assert (found["name"], found["sha256"], found["parts"]) == (
        "both", sha256(files["both"]), parts,
    )  # fmt: skip
    unused = [] if method in ("clip", "siglip") else ["text", "logit_scale", "logit_bias"]
    assert found.get("left_out", []) == unused
    _, towers = encoders.load(run.encoder)
    if towers.logit_scale is not None:
        assert float(towers.logit_scale) == pytest.approx(3.0, abs=1e-6)
    if method == "siglip":
        assert towers.logit_bias is not None and float(towers.logit_bias) == pytest.approx(-7.0)


def test_an_image_tower_alone_starts_the_image_side_and_the_record_tells(
    tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    run = trained(tmp_path, shards, files, "clip", init="image", lock="image", snapshots=(128,))
    assert told(run)["parts"] == ["visual"]
    weights = safetensors.torch.load_file(files["image"])
    for encoder in (run.encoder, run.snapshot(128)):
        _, towers = encoders.load(encoder)
        own = towers.visual.state_dict()
        assert all(torch.equal(own[name], value) for name, value in weights.items())
        assert towers.normalization == ((0.5,) * 3, (0.25,) * 3)


def test_weights_of_clip_leave_scale_and_bias_of_siglip_at_their_start(
    files: dict[str, Path],
) -> None:
    recipe = steps.recipe("siglip", init="clip")
    towers = encoders.build(recipe.arch, 0, with_text=True)
    weights = pretrained_weights.read(recipe.arch, "clip", files["clip"])
    assert pretrained_weights.start(towers, weights).parts == ("visual", "text", "logit_scale")
    made: Any = make_objective(recipe, towers, 0, World())
    assert float(made.logit_scale.detach().exp()) == pytest.approx(10)
    assert float(made.logit_bias.detach()) == -10


def refusal(
    root: Path, shards: Path, files: dict[str, Path], method: str = "clip", **changes: Any
) -> str:
    run = tiny.pretraining(method, **changes)
    event = tiny.execute(Store(root), run, shards, released=files)[-1]
    assert (event["event"], event["class"]) == ("failed", "data")
    message: str = event["message"]
    assert "\n" not in message
    return message


def test_what_cannot_be_the_start_is_refused(
    tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    assert "image.safetensors: has no text tower, and lock: text would keep random weights" in (
        refusal(tmp_path, shards, files, init="image", lock="text")
    )
    assert "tensors of arch custom, the first visual.class_embedding; name another" in refusal(
        tmp_path, shards, files, init="both", arch=steps.VIT
    )
    assert "no such file; correct `released` in the site file" in refusal(
        tmp_path, shards, {"gone": tmp_path / "gone.pt"}, init="gone"
    )
    assert "add their file to `released` in the site file" in refusal(
        tmp_path, shards, files, init="openai"
    )


def test_the_weights_may_be_gone_once_there_is_a_checkpoint(
    tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    """The run goes on from it, and ends as one that was never stopped."""
    changes: dict[str, Any] = {"init": "image", "lock": "image"}
    whole = trained(tmp_path / "whole", shards, files, "clip", **changes)
    store, run, folder = stopped(tmp_path / "stopped", shards, files, **changes)
    begun = json.loads(folder.initial_weights.read_text())
    assert begun["sha256"] == sha256(files["image"])
    gone = {"image": tmp_path / "gone.safetensors"}
    resumed = tiny.finished(store, run, shards, released=gone)
    assert tiny.same_weights(whole, resumed)
    assert told(resumed) == told(whole)
    normalizations = [encoders.load(each.encoder)[1].normalization for each in (whole, resumed)]
    assert normalizations[0] == normalizations[1] == ((0.5,) * 3, (0.25,) * 3)


def test_where_no_checkpoint_fits_the_next_attempt_starts_from_the_weights(
    tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    """An attempt that sees a checkpoint leaves the weights out, so it cannot start from them."""
    changes: dict[str, Any] = {"init": "image", "lock": "image"}
    whole = trained(tmp_path / "whole", shards, files, "clip", **changes)
    store, run, folder = stopped(tmp_path / "stopped", shards, files, **changes)
    for checkpoint in (folder.checkpoint, folder.previous_checkpoint):
        torch.save({"step": 3}, checkpoint)
    with pytest.warns(UserWarning, match="does not fit this run"):
        events = tiny.execute(store, run, shards, released=files)
    failure = json.loads(folder.error.read_text())
    assert events[-1]["event"] == "failed" and failure["class"] == "store"
    assert "launch again to start from the initial weights" in failure["message"]
    assert tiny.same_weights(whole, tiny.finished(store, run, shards, released=files))


@pytest.mark.parametrize(
    "content", ["[]", "{}", "[" * 100_000, '{"sha256": "a", "mean": [1, 2, "3"], "std": [0, 0, 0]}']
)
def test_a_note_on_initial_weights_that_is_none_is_made_again(
    content: str, tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    store, run, folder = stopped(tmp_path, shards, files, init="image")
    folder.initial_weights.write_text(content)
    assert told(tiny.finished(store, run, shards, released=files))["sha256"] == sha256(
        files["image"]
    )


def test_the_weights_are_read_again_where_the_note_on_them_is_odd(
    tmp_path: Path, shards: Path, files: dict[str, Path]
) -> None:
    store, run, folder = stopped(tmp_path, shards, files, init="image")
    note = folder.initial_weights
    note.write_text(json.dumps({"mean": [0.0] * 3, "std": [0.0] * 3}))
    resumed = tiny.finished(store, run, shards, released=files)
    assert told(resumed)["sha256"] == sha256(files["image"])
    assert encoders.load(resumed.encoder)[1].normalization == ((0.5,) * 3, (0.25,) * 3)
    assert f"{note}: is not a note on initial weights (see 'name'); set aside, not used" in (
        set_aside.sentences()
    )


def test_our_own_product_of_a_torchvision_encoder_gives_both_towers(tmp_path: Path) -> None:
    arch = "torchvision/resnet18"
    one, two = (encoders.build(arch, seed, with_text=True) for seed in (1, 2))
    file = tmp_path / "encoder.safetensors"
    safetensors_export.write(file, arch, one)
    weights = pretrained_weights.read(arch, "mine", file)
    parts = pretrained_weights.start(two, weights).parts
    assert parts == ("visual", "text", "projection", "logit_scale")
    for a, b in ((one.visual, two.visual), (one.text, two.text), (one.projection, two.projection)):
        assert a is not None and b is not None
        assert steps.equal(a.state_dict(), b.state_dict())


@pytest.mark.slow
def test_a_tag_that_was_fetched_before_is_read_without_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file lies where open_clip's download leaves it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    settings = open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_s34b_b79k")
    folder = tmp_path / f"models--{settings['hf_hub'].strip('/').replace('/', '--')}"
    file = folder / "snapshots" / "a" / "open_clip_model.safetensors"
    file.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a")
    torch.manual_seed(1)
    model = open_clip.create_model("ViT-B-32", pretrained=None)
    safetensors.torch.save_file(model.state_dict(), file)
    weights = pretrained_weights.read("ViT-B-32", "laion2b_s34b_b79k", None)
    towers, _ = pretrained_weights.whole("ViT-B-32", weights)
    assert weights.sha256 == sha256(file)
    assert steps.equal(towers.visual.state_dict(), model.visual.state_dict())
    assert towers.normalization == (tuple(settings["mean"]), tuple(settings["std"]))


def chained(parent: Run, method: str, **changes: Any) -> Run:
    """A pre-training that starts from another one of the store."""
    return Run("pretrain", tiny.pretraining(method, init="@parent", **changes).recipe, (parent,))


def test_a_pretraining_starts_from_the_encoder_of_its_parent(tmp_path: Path, shards: Path) -> None:
    store, parent = Store(tmp_path), tiny.pretraining("clip")
    before = tiny.finished(store, parent, shards)
    run = tiny.finished(store, chained(parent, "clip", **STILL), shards)
    old, new = tiny.weights(before), tiny.weights(run)
    kept = [name for name in new if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(new[name], old[name], atol=1e-6) for name in kept)
    assert told(run) == {
        "name": f"run {parent.id}", "run": parent.id, "sha256": sha256(before.encoder),
        "parts": ["visual", "text", "logit_scale"],
        "mean": told(run)["mean"], "std": told(run)["std"],
    }  # fmt: skip
    assert tiny.record(run)["parents"] == [parent.id]
    other = tiny.finished(store, chained(parent, "supervised", **STILL), shards)
    assert told(other)["parts"] == ["visual"]
    third = tiny.finished(store, chained(chained(parent, "clip", **STILL), "clip"), shards)
    assert told(third)["sha256"] == sha256(run.encoder)


def test_a_parent_that_cannot_be_the_start_is_refused(tmp_path: Path, shards: Path) -> None:
    store, parent = Store(tmp_path), tiny.pretraining("clip")
    child = chained(parent, "clip")
    [*_, event] = tiny.execute(store, child, shards)
    assert event["message"] == f"the parent {parent.id} has no record; launch the study again"
    folder = tiny.finished(store, parent, shards)
    other = tiny.finished(store, tiny.pretraining("clip", seed=1), shards)
    folder.encoder.write_bytes(other.encoder.read_bytes())
    [*_, event] = tiny.execute(store, child, shards)
    assert "is not the file that its run wrote (record.json)" in event["message"]


def test_a_stopped_run_goes_on_from_its_checkpoint_not_from_its_parent(
    tmp_path: Path, shards: Path
) -> None:
    store, parent = Store(tmp_path), tiny.pretraining("clip")
    before = tiny.finished(store, parent, shards)
    run, stop = chained(parent, "clip"), tiny.StopAfter(4)
    tiny.execute(store, run, shards, stop=stop, checkpoint_minutes=1e-9)
    digest = sha256(before.encoder)
    before.encoder.write_bytes(b"other")  # not read again
    assert told(tiny.finished(store, run, shards))["sha256"] == digest
