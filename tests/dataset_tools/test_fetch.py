import contextlib
import fcntl
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpc_xfer.config.dataset_cards import Archive, DatasetCard, FurtherSet, card
from hpc_xfer.dataset_tools.download import Patience
from hpc_xfer.dataset_tools.fetch import HowToFetch, fetch
from hpc_xfer.errors import DataError
from tests import official_copies
from tests.dataset_tools.server import Server, breaks_off


def ignored(done: int, total: int) -> None:
    """Take no notice of progress."""


def zip_of(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()


class Owners:
    """Hand out a small EuroSAT."""

    def __init__(self, folder: Path) -> None:
        place = official_copies.make("eurosat", folder)
        self.data = zip_of(folder / "eurosat")
        self.server = Server({"EuroSAT.zip": self.data})
        self.counts = place.counts

    def archive(self, md5: str | None = None) -> Archive:
        url = f"{self.server.url}/EuroSAT.zip"
        return Archive(url=url, md5=md5 or hashlib.md5(self.data).hexdigest(), unpack="eurosat")

    def card(self, *archives: Archive) -> DatasetCard:
        given = {"counts": self.counts, "class_counts": None}
        archives = archives or (self.archive(),)
        return card("eurosat").model_copy(update=given | {"archives": archives})

    @property
    def requests(self) -> int:
        return len(self.server.requests)


@pytest.fixture
def owners(tmp_path: Path) -> Iterator[Owners]:
    owners = Owners(tmp_path / "owners")
    with owners.server:
        yield owners


def how(mirror: str | None = None, keep: bool = False, tries: int = 2) -> HowToFetch:
    patience = Patience(tries, 10, lambda seconds: None)
    return HowToFetch(mirror, keep, patience, lambda what: contextlib.nullcontext(ignored))


def test_a_data_set_is_there_afterwards_and_its_archive_is_gone(
    owners: Owners, tmp_path: Path
) -> None:
    fetched = fetch(owners.card(), tmp_path / "to", how())
    assert fetched.archives == ("EuroSAT.zip",) and fetched.presence.is_there
    assert len([*(tmp_path / "to/eurosat/2750").rglob("*.jpg")]) == 60
    assert not (tmp_path / "to/archives/EuroSAT.zip").exists()


def test_a_second_call_does_nothing(owners: Owners, tmp_path: Path) -> None:
    fetch(owners.card(), tmp_path, how())
    again = fetch(owners.card(), tmp_path, how())
    assert again.archives == () and again.presence.is_there
    assert owners.requests == 1


def test_a_data_set_that_was_put_there_by_hand_is_left_alone(
    owners: Owners, tmp_path: Path
) -> None:
    assert fetch(owners.card(), tmp_path / "owners", how()).archives == ()
    assert owners.requests == 0 and not (tmp_path / "owners/archives").exists()


def test_archives_are_kept_if_asked(owners: Owners, tmp_path: Path) -> None:
    fetch(owners.card(), tmp_path, how(keep=True))
    assert (tmp_path / "archives/EuroSAT.zip").read_bytes() == owners.data


def test_an_archive_that_was_copied_there_is_not_downloaded(owners: Owners, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/EuroSAT.zip").write_bytes(owners.data)
    assert fetch(owners.card(), tmp_path, how()).presence.is_there
    assert owners.requests == 0


def test_a_mirror_has_the_same_file_names(owners: Owners, tmp_path: Path) -> None:
    url = owners.archive().url
    elsewhere = owners.archive().model_copy(update={"url": "https://gone.invalid/EuroSAT.zip"})
    mirror = f"{url.rpartition('/')[0]}/our/copies/"
    assert fetch(owners.card(elsewhere), tmp_path, how(mirror)).presence.is_there
    assert owners.server.requests[0]["file"] == "EuroSAT.zip"


def test_a_wrong_archive_is_removed_and_nothing_is_unpacked(owners: Owners, tmp_path: Path) -> None:
    wrong = owners.card(owners.archive(md5="0" * 32))
    with pytest.raises(DataError, match=r"EuroSAT\.zip: has md5 \w+, expected 0+; removed it"):
        fetch(wrong, tmp_path, how())
    assert not (tmp_path / "archives/EuroSAT.zip").exists()
    assert not (tmp_path / "eurosat").exists()


def test_a_second_call_goes_on_with_what_has_arrived(owners: Owners, tmp_path: Path) -> None:
    owners.server.faults += [breaks_off(1000)]
    with pytest.raises(DataError, match=r"the connection ended after 1 kB"):
        fetch(owners.card(), tmp_path, how(tries=0))
    fetch(owners.card(), tmp_path, how())
    assert [request["range"] for request in owners.server.requests] == [None, "bytes=1000-"]


def test_lost_files_are_fetched_again(owners: Owners, tmp_path: Path) -> None:
    fetch(owners.card(), tmp_path, how())
    next((tmp_path / "eurosat/2750/River").iterdir()).unlink()
    again = fetch(owners.card(), tmp_path, how())
    assert again.archives == ("EuroSAT.zip",) and again.presence.is_there


def test_only_what_is_lacking_is_fetched(owners: Owners, tmp_path: Path) -> None:
    """An archive may belong to two data sets in one folder."""
    fetch(owners.card(), tmp_path, how())
    more = owners.archive().model_copy(update={"url": f"{owners.server.url}/more.txt", "md5": None})
    owners.server.files["more.txt"] = b"more"
    further = {"other": FurtherSet(title="Other", home="there", archives=(more,))}
    larger = owners.card().model_copy(update={"further": further})
    assert fetch(larger, tmp_path, how()).archives == ("more.txt",)
    assert (tmp_path / "eurosat/more.txt").read_bytes() == b"more"


def test_what_was_unpacked_must_be_the_data_set(owners: Owners, tmp_path: Path) -> None:
    real = owners.card().model_copy(update={"counts": card("eurosat").counts})
    with pytest.raises(DataError, match="has 50 training images, expected 21,600 of eurosat"):
        fetch(real, tmp_path / "to", how())


def test_two_fetches_of_one_archive_do_not_mix(owners: Owners, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    lock = tmp_path / "archives/EuroSAT.zip.lock"
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError) as caught:
            fetch(owners.card(), tmp_path, how())
    assert str(caught.value) == (
        f"{lock}: another fetch is getting this archive; wait for it, then call again"
    )
    assert fetch(owners.card(), tmp_path, how()).presence.is_there


def test_a_data_set_that_needs_an_account_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^cassava must be fetched by hand into .*: Kaggle hands"):
        fetch(card("cassava"), tmp_path, how())
    assert [*tmp_path.iterdir()] == []


def test_a_place_that_cannot_be_written_is_one_sentence(owners: Owners, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught:
        fetch(owners.card(), tmp_path / "file", how())
    assert str(caught.value) == (
        f"{tmp_path}/file/archives: cannot be written (Not a directory); choose another --to"
    )
