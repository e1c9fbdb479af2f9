"""Every image of a data set is decoded once per store, before anything is trained on it."""

import json
from pathlib import Path

import pytest

from hpc_xfer.compute.downstream import datasets
from hpc_xfer.compute.downstream.datasets import DownstreamData
from hpc_xfer.compute.downstream.decode_check import check_decodable
from hpc_xfer.config.downstream_datasets import PACKAGED, dataset_info
from hpc_xfer.errors import DataError
from hpc_xfer.store.paths import StoreDir
from hpc_xfer.store.store import Store
from tests import tiny
from tests.tars import cut, picture_folder, png


def load(folder: Path) -> DownstreamData:
    return datasets.load(dataset_info("animals", folder), folder)


def signs_of_life(store: StoreDir, data: DownstreamData) -> int:
    """Check, and count the batches of images that were decoded."""
    signs: list[int] = []
    check_decodable(store, data, lambda: signs.append(1))
    return len(signs)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_that_does_not_decode_is_told_before_the_training(
    split: str, tmp_path: Path
) -> None:
    folder, store = picture_folder(tmp_path / "animals"), Store(tmp_path / "store")
    cut(folder / split / "dog/1.png", 50)
    parent = tiny.pretraining("scratch")
    tiny.finished(store, parent)
    run = tiny.finetuning(parent, "ft", dataset="animals", shots=1, batch=2)
    told = tiny.execute(store, run, datasets={"animals": folder})[-1]
    assert told["event"] == "failed"
    assert "1 of 24 images cannot be decoded, the first is" in told["message"]
    assert f"animals/{split}/dog/1.png: " in told["message"]
    assert "`python -m hpc_xfer.datasets check animals` lists all of them" in told["message"]
    assert not store.run(run.id).metrics.exists()


def test_a_run_goes_on_once_the_image_is_replaced(tmp_path: Path) -> None:
    """The store has seen no data set yet that a run could use, so nothing has changed."""
    folder, store = picture_folder(tmp_path / "animals"), Store(tmp_path / "store")
    broken = folder / "test/dog/1.png"
    whole = broken.read_bytes()
    cut(broken, 50)
    parent = tiny.pretraining("scratch")
    tiny.finished(store, parent)
    run = tiny.finetuning(parent, "lp", dataset="animals", shots=1)
    assert tiny.execute(store, run, datasets={"animals": folder})[-1]["event"] == "failed"
    broken.write_bytes(whole)
    assert tiny.execute(store, run, datasets={"animals": folder})[-1]["event"] == "done"


def test_the_images_are_decoded_once_and_that_is_noted_with_the_fingerprint(tmp_path: Path) -> None:
    data, store = load(picture_folder(tmp_path / "animals")), StoreDir(tmp_path / "store")
    assert signs_of_life(store, data) == 1
    note = json.loads(store.decoded(data.fingerprint).read_text())
    assert note["dataset"] == "animals" and note["images"] == {"train": 20, "test": 4}
    assert signs_of_life(store, data) == 0


def test_a_note_of_another_version_of_the_decoders_does_not_count(tmp_path: Path) -> None:
    data, store = load(picture_folder(tmp_path / "animals")), StoreDir(tmp_path / "store")
    check_decodable(store, data)
    path = store.decoded(data.fingerprint)
    path.write_text(json.dumps({**json.loads(path.read_text()), "decoders": "pillow 1"}))
    check_decodable(store, data)
    assert json.loads(path.read_text())["decoders"] != "pillow 1"


def test_a_damaged_note_does_not_count(tmp_path: Path) -> None:
    data, store = load(picture_folder(tmp_path / "animals")), StoreDir(tmp_path / "store")
    path = store.decoded(data.fingerprint)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    check_decodable(store, data)
    assert json.loads(path.read_text())["images"] == {"train": 20, "test": 4}


def test_the_jobs_that_come_after_a_failure_decode_the_failed_images_alone(tmp_path: Path) -> None:
    folder, store = picture_folder(tmp_path / "animals"), StoreDir(tmp_path / "store")
    cut(folder / "test/dog/0.png", 50)
    data, signs = load(folder), list[int]()
    for _ in range(3):
        with pytest.raises(DataError, match="1 of 24 images cannot be decoded"):
            check_decodable(store, data, lambda: signs.append(1))
    assert len(signs) == 1
    assert not store.decoded(data.fingerprint).exists()


def test_where_more_images_are_broken_than_a_report_shows_json_has_all(tmp_path: Path) -> None:
    folder, store = picture_folder(tmp_path / "animals"), StoreDir(tmp_path / "store")
    for image in folder.glob("*/*/*.png"):
        cut(image, 50)
    told = "24 of 24 images .* `python -m hpc_xfer.datasets check animals --json` lists all of them"
    with pytest.raises(DataError, match=told):
        check_decodable(store, load(folder))


def test_an_image_that_a_file_server_lost_for_a_while_is_used_once_it_is_back(
    tmp_path: Path,
) -> None:
    folder, store = picture_folder(tmp_path / "animals"), StoreDir(tmp_path / "store")
    data, lost = load(folder), folder / "test/dog/0.png"
    lost.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        check_decodable(store, data)
    lost.write_bytes(png(200))
    check_decodable(store, data)
    assert store.decoded(data.fingerprint).exists()


def test_images_in_memory_need_no_decoder(tmp_path: Path) -> None:
    data, store = datasets.load(PACKAGED["digits"], None), StoreDir(tmp_path / "store")
    check_decodable(store, data)
    assert not store.decoded(data.fingerprint).exists()


def test_a_store_that_cannot_be_written_decodes_all_the_same(tmp_path: Path) -> None:
    folder = picture_folder(tmp_path / "animals")
    data = load(folder)
    (tmp_path / "file").touch()
    check_decodable(StoreDir(tmp_path / "file"), data)
    cut(folder / "test/dog/0.png", 50)
    with pytest.raises(DataError, match="1 of 24 images"):
        check_decodable(StoreDir(tmp_path / "file"), data)


def one_process(root: Path, folder: Path) -> None:
    check_decodable(StoreDir(root), load(folder))


def test_processes_that_start_at_once_all_go_on(tmp_path: Path) -> None:
    folder, root = picture_folder(tmp_path / "animals"), tmp_path / "store"
    children = [tiny.child(one_process, root, folder) for _ in range(3)]
    assert tiny.join(children) == [0, 0, 0]
    assert StoreDir(root).decoded(load(folder).fingerprint).exists()
