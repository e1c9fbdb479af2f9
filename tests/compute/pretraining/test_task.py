"""A whole small pre-training on printed characters: product, record, and what may go wrong."""

import errno
import json
import math
import os
import resource
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import torch

from hpc_xfer.compute.failure_classes import classify
from hpc_xfer.compute.models import encoders, weights_file
from hpc_xfer.compute.models.patch_dropout import PatchDropout
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from tests import steps, tiny
from tests.compute.pretraining.tar_shards import samples
from tests.compute.shard_tools.making import write_shards
from tests.conftest import ROOT
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.source(tmp_path_factory.mktemp("source") / "sans")


def failure(store: Store, run: Run, source: Path, **resources: Any) -> dict[str, Any]:
    """What is told of a run that must fail; nothing that looks finished is left."""
    told = tiny.execute(store, run, source, **resources)[-1]
    folder = store.run(run.id)
    assert told["event"] == "failed" and "\n" not in told["message"]
    assert not folder.record.exists() and not folder.encoder.exists() and folder.error.exists()
    return told


@pytest.mark.parametrize("method", ["clip", "siglip", "simclr", "supervised"])
def test_a_pretraining_leaves_a_product_and_a_record(
    method: str, tmp_path: Path, shards: Path
) -> None:
    run = tiny.pretraining(method)
    folder = tiny.finished(Store(tmp_path), run, shards)
    record = tiny.record(folder)
    assert (record["run"], record["kind"], record["parents"]) == (run.id, "pretrain", [])
    assert record["recipe"] == run.spec
    metrics = record["metrics"]
    assert metrics["samples_seen"] == 256 and metrics["steps"] == 8
    assert metrics["skipped_samples"] == 0 and metrics["broken"] == []
    assert math.isfinite(metrics["final_loss"]) and metrics["samples_per_second"] > 0
    assert record["timing"].keys() == {"seconds", "train_seconds", "data_wait_seconds"}
    proof = record["provenance"]
    assert proof["ranks"] == 1 and proof["attempt"] == 1 and len(proof["data"]["source"]) == 64
    assert {path.name for path in folder.path.iterdir()} == {
        *("recipe.json", "claims", "progress.json", "metrics.jsonl", "tb"),
        *("encoder.pt", "encoder.safetensors", "record.json"),
    }
    _, towers = encoders.load(folder.encoder)
    assert (towers.text is not None) == (method in ("clip", "siglip"))
    assert (towers.logit_bias is not None) == (method == "siglip")


def test_fine_tuning_from_siglip_starts_from_its_text_tower(tmp_path: Path, shards: Path) -> None:
    parent = tiny.pretraining("siglip", accumulate=2, snapshots=(128,))
    tiny.finished(Store(tmp_path), parent, shards)
    for snapshot in (128, None):
        run = tiny.finetuning(parent, snapshot=snapshot)
        record = tiny.record(tiny.finished(Store(tmp_path), run))
        assert 0 <= record["metrics"]["zeroshot_val_top1"] <= 1


def test_an_encoder_that_saw_parts_of_images_is_fine_tuned_on_whole_ones(
    tmp_path: Path, shards: Path
) -> None:
    """Its file names the architecture alone."""
    arch = steps.VIT.model_copy(update={"vision_cfg": {**steps.VIT.vision_cfg, "patch_size": 8}})
    parent = tiny.pretraining("simclr", arch=arch, patch_dropout=0.5)
    product = tiny.finished(Store(tmp_path), parent, shards).encoder
    _, towers = encoders.load(product)
    assert not [m for m in towers.visual.modules() if isinstance(m, PatchDropout)]
    tiny.finished(Store(tmp_path), tiny.finetuning(parent))


def test_training_lowers_the_loss(tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining("supervised", samples_seen=256 * 8, flip=False)
    losses = [loss for _, loss in tiny.losses(tiny.finished(Store(tmp_path), run, shards))]
    assert losses[-1] < losses[0] - 0.1


def test_scratch_is_the_start_of_every_method(tmp_path: Path) -> None:
    run = tiny.pretraining("scratch")
    folder = tiny.finished(Store(tmp_path), run)
    assert tiny.record(folder)["metrics"]["samples_seen"] == 0
    start = encoders.build(tiny.ARCH, 0, with_text=True).visual.state_dict()
    product = tiny.weights(folder)
    assert all(torch.equal(product[f"visual.{name}"], start[name]) for name in start)


def test_bf16_trains_too(tmp_path: Path, shards: Path) -> None:
    for method in ("clip", "siglip", "simclr"):
        tiny.finished(Store(tmp_path), tiny.pretraining(method, precision="bf16"), shards)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, shards: Path
) -> None:
    run = tiny.pretraining("supervised", lr=1e30, grad_clip=None)
    told = failure(Store(tmp_path), run, shards, checkpoint_minutes=1e-9)
    assert told["class"] == "nan" and told["message"].endswith("; lower lr")
    for path in Store(tmp_path).run(run.id).path.glob("checkpoint*.pt"):
        state = weights_file.read(path)
        assert state is not None
        assert all(value.isfinite().all() for value in state["objective"].values())


def test_single_precision_is_not_that_of_torch_which_is_tf32_on_newer_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as a process begins
    tiny.finished(Store(tmp_path), tiny.pretraining("scratch"))
    assert not torch.backends.cudnn.allow_tf32


def test_weights_that_break_in_the_last_step_are_no_product(tmp_path: Path, shards: Path) -> None:
    """The loss of a step tells of the weights before it."""
    run = tiny.pretraining("supervised", samples_seen=32, lr=1e38, weight_decay=10.0)
    assert failure(Store(tmp_path), run, shards)["message"] == (
        "the weights are not finite after step 1; lower lr"
    )


def unlabeled(folder: Path, fields: str) -> Path:
    plain = [{k: v for k, v in s.items() if k in ("png", fields)} for s in samples(64)]
    names = [str(i) for i in range(16)] if fields == "cls" else None
    return write_shards(folder, plain, names).folder


def test_a_source_that_lacks_what_the_method_needs_is_named(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"samples": 64, "samples_seen": 64}
    for method, fields, sentence in (
        ("supervised", "txt", "has no labels (cls), which supervised needs; name another source"),
        ("clip", "cls", "has no captions (txt), which clip needs; name another source"),
    ):
        folder = unlabeled(tmp_path / fields, fields)
        told = failure(Store(tmp_path), tiny.pretraining(method, **changes), folder)
        assert (told["class"], told["message"]) == ("data", f"{folder}: {sentence}")


def test_more_samples_than_the_source_has_are_refused(tmp_path: Path, shards: Path) -> None:
    told = failure(Store(tmp_path), tiny.pretraining("clip", samples=1000), shards)
    assert told["message"] == (
        f"{shards}: 1,000 samples requested, but there are 256; lower samples or name a larger "
        "source"
    )


@pytest.mark.slow
def test_loader_processes_start_in_a_worker_that_reads_packs_from_its_input(
    tmp_path: Path, shards: Path
) -> None:
    """Its reading thread holds the lock of stdin, which a forked process wants to close.

    TMPDIR is longer than the path of a socket may be, by which loader processes hand over batches.
    """
    scratch = tmp_path / ("scratch-" * 12)
    scratch.mkdir()
    run, store = tiny.pretraining("supervised"), Store(tmp_path)
    resources = {**tiny.PRETRAIN.model_dump(), "workers": 1}
    batch = store.write_manifest("test", JobArray((Pack((run,), 1.0, 1),)), resources)
    (tmp_path / "site.yaml").write_text(f"sources: {{sans: {shards}}}\n")
    command = [sys.executable, "-m", "hpc_xfer.worker", "--store", str(tmp_path)]
    command += ["--study", "test", "--site", str(tmp_path / "site.yaml")]
    env = {**os.environ, "TMPDIR": str(scratch)}
    process = Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=ROOT, env=env)
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            process.stdin.write(f"{batch.stem}/0\n")
            process.stdin.flush()
            wait_for(lambda: store.is_done(run) or process.poll() is not None)
        except BaseException:
            process.kill()
            raise
        process.stdin.close()
        events = [json.loads(line)["event"] for line in process.stdout]
    assert events == ["started", "done", "pack"]


def on_a_full_disk(root: Path, run: Run, shards: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    told = failure(Store(root), run, shards)
    assert told["class"] == "store"
    assert "encoder.pt: cannot be written (File too large); free space" in told["message"]


def test_a_full_disk_leaves_no_half_product(tmp_path: Path, shards: Path) -> None:
    run = tiny.pretraining("clip")
    assert tiny.join([tiny.child(on_a_full_disk, tmp_path, run, shards)]) == [0]
    assert not [path for path in Store(tmp_path).run(run.id).path.iterdir() if ".tmp" in path.name]
    tiny.finished(Store(tmp_path), run, shards)
    assert not Store(tmp_path).run(run.id).error.exists()


def test_a_full_disk_that_a_library_meets_is_no_mistake_of_the_program() -> None:
    """TensorBoard writes in a thread and raises what that met at the next row."""
    full = OSError(errno.ENOSPC, "No space left on device")
    assert classify(full) == "store"
    try:
        try:
            raise full
        except OSError as error:
            raise RuntimeError("unexpected pos 64 vs 0") from error
    except RuntimeError as wrapped:
        assert classify(wrapped) == "store"
    assert classify(OSError(errno.ENOENT, "No such file or directory")) == "code"
