from pathlib import Path

from hpc_xfer.config.dataset_cards import CARDS, card
from hpc_xfer.config.dataset_location import DatasetEntry
from hpc_xfer.config.site import Site
from hpc_xfer.dataset_tools.presence import DatasetRow, look, rows
from tests import official_copies


def row(site: Site, name: str) -> DatasetRow:
    [found] = [each for each in rows(site) if each.name == name]
    return found


def test_every_packaged_data_set_is_described_without_a_site_file() -> None:
    found = {each.name: each for each in rows(Site())}
    assert [*found] == ["digits", "mnist5k", *CARDS]
    assert found["digits"].presence.is_there and found["digits"].images["train"] == 898
    pets = found["pets"]
    assert (pets.classes, pets.images) == (37, {"train": 3680, "test": 3669})
    assert (pets.place, pets.presence.is_there, pets.presence.problem) == (None, False, None)
    assert found["cifar100"].further == {"cifair": 10_000}
    assert found["cifar100"].archive_bytes == 169_001_437


def test_counts_are_those_on_disk_where_the_site_file_says_so(tmp_path: Path) -> None:
    entry = DatasetEntry.model_validate(official_copies.site_entry("pets", tmp_path))
    found = row(Site(datasets={"pets": entry}), "pets")
    assert found.presence.is_there and found.place == str(tmp_path)
    assert found.images == {"train": 3 * 37, "test": 37}


def test_a_wrong_folder_is_one_sentence(tmp_path: Path) -> None:
    found = row(Site(datasets={"pets": str(tmp_path)}), "pets")
    assert not found.presence.is_there
    assert (found.presence.problem or "").startswith(f"{tmp_path}: has no oxford-iiit-pet/")


def test_data_sets_of_ones_own_are_described_too(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "a.jpg").touch()
    found = row(Site(datasets={"mine": str(tmp_path)}), "mine")
    assert (found.classes, found.images, found.licence) == (2, {"train": 2, "test": 2}, None)


def test_a_further_test_set_that_is_not_there_is_said(tmp_path: Path) -> None:
    place = official_copies.make("cifar100", tmp_path)
    facts = card("cifar100").model_copy(update={"counts": place.counts})
    there = look(facts, tmp_path)
    (tmp_path / "ciFAIR-100/test").unlink()
    assert (there.is_there, there.lacking) == (True, ())
    assert look(facts, tmp_path).lacking == ("cifair",)
