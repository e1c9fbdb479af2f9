"""Study files from the text of one block, and the sentences in which they are refused."""

from pathlib import Path

import pytest

from hpc_xfer.errors import StudyError
from hpc_xfer.study.study_file import Study, load_study

CLIP = "{method: clip, arch: RN50, source: laion, samples: 8000, epochs: 2, batch: 100}"
GLYPH = {"embed_dim": 8, "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "image_size": 32}}


def load(folder: Path, text: str) -> Study:
    path = folder / "a.yaml"
    path.write_text(text)
    return load_study(path)


def refusal(folder: Path, text: str) -> list[str]:
    """The sentences, with the folder cut off."""
    with pytest.raises(StudyError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def pretrain(folder: Path, text: str) -> Study:
    return load(folder, f"name: x\npretrain: [{text}]\n")


def pretrain_refusal(folder: Path, text: str) -> list[str]:
    """Of a block that stands in line 3 as pretrain.0."""
    return refusal(folder, f"name: x\npretrain:\n  - {text}\n")


def finetune(folder: Path, text: str) -> Study:
    return load(folder, f"name: x\npretrain: [{CLIP}]\nfinetune: {text}\n")


def finetune_refusal(folder: Path, text: str) -> list[str]:
    """Of a block that stands in line 3 as finetune."""
    return refusal(folder, f"name: x\npretrain: [{CLIP}]\nfinetune: {text}\n")
