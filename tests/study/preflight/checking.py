"""Check a study in a folder, and cut the folder off what is said."""

from pathlib import Path

from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.study.preflight.check_inputs import check_inputs
from hpc_xfer.study.study_file import load_study

CLIP = "{method: clip, arch: RN50, source: sans, samples: 500, epochs: 1, batch: 100}"
ANIMALS = "datasets: [animals], shots: [1], lr: 1"


def check(folder: Path, site: Site, text: str) -> list[str]:
    """The sentences, with the folder cut off; none where all is well."""
    path = folder / "a.yaml"
    path.write_text(text)
    try:
        check_inputs(load_study(path), site)
    except StudyError as error:
        return str(error).replace(f"{folder}/", "").splitlines()
    return []


def pretrain(folder: Path, site: Site, block: str = CLIP, rest: str = "") -> list[str]:
    return check(folder, site, f"name: x\npretrain:\n  - {block}\n{rest}")


def finetune(folder: Path, site: Site, block: str) -> list[str]:
    text = f"name: x\npretrain: [{{method: scratch, arch: RN50}}]\nfinetune: {block}\n"
    return check(folder, site, text)


def dataset_notes(folder: Path, site: Site, block: str) -> list[str]:
    path = folder / "a.yaml"
    path.write_text(f"name: x\npretrain: [{{method: scratch, arch: RN50}}]\nfinetune: {block}\n")
    return [note.replace(f"{folder}/", "") for note in check_inputs(load_study(path), site).notes]


def source_notes(folder: Path, site: Site, block: str) -> list[str]:
    path = folder / "a.yaml"
    path.write_text(f"name: x\npretrain:\n  - {block}\n")
    return [note.replace(f"{folder}/", "") for note in check_inputs(load_study(path), site).notes]
