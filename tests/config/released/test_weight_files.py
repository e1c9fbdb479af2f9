"""Files of weights before a job starts: what is seen to be none is refused, without torch."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from hpc_xfer.config.released.weight_files import find_weights
from hpc_xfer.errors import DataError

STATE = {"conv1.weight": torch.ones(4, 3, 2, 2)}
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2\nsize 605219813\n"


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_weights(path)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 300 + len(str(path))
    return told.split(": ", 1)[1]


def cut(file: Path, size: int) -> None:
    os.truncate(file, size)


def npz(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("conv1.npy", b"\x93NUMPY")


def zipped(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights/model.pt", b"x")


def torch_file_cut(file: Path) -> None:
    torch.save(STATE, file)
    cut(file, file.stat().st_size - 100)


NO_WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda f: f.touch(), "is empty; fetch it again"),
    "a pointer of Git LFS": (
        lambda f: f.write_bytes(LFS),
        "is a Git LFS pointer, not the weights; run `git lfs pull` in its folder",
    ),
    "a page of login": (
        lambda f: f.write_bytes(b"\n<!DOCTYPE html><html><body>Log in</body></html>"),
        "is a web page, not weights; download the file itself",
    ),
    "an error of the hub": (
        lambda f: f.write_bytes(b'{"error": "Repository not found"}'),
        "is a text, not weights; download the file itself",
    ),
    "half a download": (torch_file_cut, "is cut off or damaged; fetch it again"),
    "NumPy's": (npz, "is an archive of NumPy, not weights of torch; convert it"),
    "a zip": (zipped, "is a zip archive without weights of torch; unpack it"),
    "Keras": (
        lambda f: f.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)),
        "is an HDF5 file (Keras), not weights of torch; convert it",
    ),
    "tar.gz": (
        lambda f: f.write_bytes(b"\x1f\x8b\x08" + bytes(99)), "is a gzip archive; unpack it",
    ),
    "tar": (
        lambda f: f.write_bytes(b"a" + bytes(256) + b"ustar" + bytes(300)),
        "is a tar archive; unpack it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_what_was_saved_in_place_of_weights_is_named(name: str, tmp_path: Path) -> None:
    make, told = NO_WEIGHTS[name]
    make(tmp_path / "RN50.pt")
    assert refused(tmp_path / "RN50.pt") == told


def test_a_safetensors_file_that_was_cut_off_tells_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(STATE, file)
    whole = file.stat().st_size
    assert find_weights(file).files == (file,)
    cut(file, whole - 8)
    assert refused(file) == (
        f"has {whole - 8:,} bytes where its header says {whole:,}; fetch it again"
    )
    file.write_bytes(b"\x80\x02not safetensors")
    assert refused(file) == "is not a safetensors file; fetch it again"


def test_a_file_that_is_not_there_or_cannot_be_reached_is_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "w.pt") == "no such file; correct `released` in the site file"
    (tmp_path / "w.pt").symlink_to(tmp_path / "blobs" / "1")
    assert refused(tmp_path / "w.pt") == "is a link to a file that is not there; fetch it again"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == "is not a file; correct `released` in the site file"
    assert refused(tmp_path / ("w" * 300)).startswith("cannot be read (File name too long); ")


def test_a_folder_of_the_hub_gives_open_clips_file_and_config(tmp_path: Path) -> None:
    folder = tmp_path / "models--laion--x" / "snapshots" / "0c1d"
    folder.mkdir(parents=True)
    torch.save(STATE, folder / "open_clip_pytorch_model.bin")
    torch.save(STATE, folder / "pytorch_model.bin")  # of transformers, beside it
    config = {"model_cfg": {"embed_dim": 512}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    for path in (folder, tmp_path / "models--laion--x", folder / "open_clip_pytorch_model.bin"):
        found = find_weights(path)
        assert found.files == (folder / "open_clip_pytorch_model.bin",)
        assert found.config == config
    (folder / "open_clip_config.json").write_text("{")
    assert refused(folder) == "has no model_cfg; fetch it again"


def test_a_folder_without_one_file_of_weights_says_what_it_holds(tmp_path: Path) -> None:
    assert refused(tmp_path) == "holds no file of weights; correct `released` in the site file"
    for name in ("epoch_1.pt", "epoch_2.pt"):
        torch.save(STATE, tmp_path / name)
    assert refused(tmp_path) == "holds 2 files of weights (epoch_1.pt, epoch_2.pt, ...); name one"
    (tmp_path / "epoch_2.pt").unlink()
    assert find_weights(tmp_path).files == (tmp_path / "epoch_1.pt",)
    (tmp_path / "config.json").write_text('{"architectures": ["CLIPModel"]}')
    assert refused(tmp_path) == (
        "is a model of Hugging Face transformers; take the one of open_clip, with "
        "open_clip_config.json"
    )


def test_an_index_of_shards_needs_all_of_them(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    assert refused(index) == "2 of 2 files are missing, the first 1.safetensors; fetch them"
    index.write_text("{}")
    assert refused(index) == "names no files of tensors (weight_map); fetch it again"
