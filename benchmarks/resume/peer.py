"""The peer for `resume`: open_clip's trainer, called again with --resume latest.

python -m benchmarks.resume.peer FILE REQUEST    # each step puts a byte into FILE
"""

import json
import sys
from pathlib import Path

import open_clip
import torch
from open_clip_train.main import main

from benchmarks.harness import clock, interleave


def train(root: str, folder: str, model: str, batch: int, steps: int, epochs: int) -> None:
    torch.set_num_threads(1)
    open_clip.add_model_config(model)
    main(
        [
            f"--model={Path(model).stem}",
            f"--train-data={interleave.urls(folder)}",
            "--dataset-type=webdataset",
            f"--train-num-samples={batch * steps // epochs}",
            f"--batch-size={batch}",
            "--precision=fp32",
            "--workers=1",
            f"--epochs={epochs}",
            "--save-frequency=1",
            "--save-most-recent",
            "--resume=latest",
            "--name=killed",
            f"--logs={root}",
        ]
    )


if __name__ == "__main__":
    with clock.steps_noted(Path(sys.argv[1])):
        train(**json.loads(sys.argv[2]))
