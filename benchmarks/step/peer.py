"""The peer for `step`: open_clip's own trainer, called as from its command line."""

import tempfile
from pathlib import Path

import open_clip
import torch
from open_clip_train.main import main

from benchmarks.harness import clock, interleave


def train(
    folder: str, model: str, batch: int, steps: int, precision: str, workers: int, threads: int
) -> dict[str, float]:
    torch.set_num_threads(threads)
    if model.endswith(".json"):
        open_clip.add_model_config(model)
    with tempfile.TemporaryDirectory() as logs:
        call = [
            f"--model={Path(model).stem}",
            f"--train-data={interleave.urls(folder)}",
            "--dataset-type=webdataset",
            f"--train-num-samples={batch * steps}",
            f"--batch-size={batch}",
            f"--precision={precision}",
            f"--workers={workers}",
            "--epochs=1",
            # As ours has it by default.
            "--lr=1e-3",
            "--wd=0.1",
            f"--warmup={steps // 10}",
            "--beta1=0.9",
            "--beta2=0.999",
            "--eps=1e-8",
            "--grad-clip-norm=1.0",
            "--log-every-n-steps=20",
            "--report-to=tensorboard",
            f"--logs={logs}",
        ]
        return clock.measured(lambda: main(call), batch, steps)


if __name__ == "__main__":
    interleave.serve({"train": train})
