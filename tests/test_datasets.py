"""The command `python -m hpc_xfer.datasets`; what it calls is tested in dataset_tools/."""

import json
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from hpc_xfer.config.dataset_cards import CARDS
from hpc_xfer.datasets import main
from hpc_xfer.store.dataset_fingerprints import (
    check_unchanged,
    check_words_unchanged,
    keep_first,
)
from hpc_xfer.store.store import Store
from tests import official_copies
from tests.dataset_tools.server import Server, stalls
from tests.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site file that knows a copy of Pets and a data set of one's own."""
    for split in ("train", "test"):
        for label, name in enumerate(("cat", "dog")):
            path = tmp_path / "mine" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            pixels = np.full((4, 4, 3), label * 99 + len(split), np.uint8)
            Image.fromarray(pixels).save(path)
    entries = {"pets": official_copies.site_entry("pets", tmp_path / "pets"), "mine": "mine"}
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({"datasets": entries}))
    return path


def test_list_shows_every_data_set_and_where_it_is(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "--site", str(site)]) == 0
    shown = capsys.readouterr().out
    for name in (*CARDS, "digits", "mine"):
        assert f"\n{name} " in shown
    assert "not in the site file" in shown and f"\nmine: {site.parent}/mine\n" in shown
    assert "built in" in shown and "169 MB" in shown


def test_list_as_json_has_the_same_facts(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--site", str(site), "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["pets"]["images"] == {"train": 111, "test": 37}
    assert found["mine"]["place"] == str(site.parent / "mine")


def test_list_and_check_say_what_a_launch_says(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        (site.parent / "mine" / split / "cat").rename(site.parent / "mine" / split / "a1")
        (site.parent / "mine" / split / "dog").rename(site.parent / "mine" / split / "a2")
    told = "its class names are codes (a1, a2), not words: text heads start from zero"
    assert main(["list", "--site", str(site)]) == 0
    shown = capsys.readouterr().out
    assert f"mine: {told}" in shown and "pets: " not in shown.split(f"mine: {told}")[1]
    assert main(["check", "mine", "--site", str(site)]) == 0
    assert told in capsys.readouterr().out


def test_list_says_what_is_wrong_with_a_folder(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text("datasets: {dtd: gone}\n")
    assert main(["list", "--site", str(site)]) == 1
    assert f"dtd: {site.parent}/gone: no such folder; correct data set" in capsys.readouterr().out


def test_list_and_fetch_need_no_torch(site: Path, tmp_path: Path) -> None:
    for call in (["list", "--site", str(site)], ["fetch", "cassava", "--to", str(tmp_path)]):
        code = (
            "import sys; from hpc_xfer.datasets import main\n"
            f"main({call!r}); assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_fetch_of_another_archive_under_the_same_name_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server({"EuroSAT.zip": b"another"}) as server:
        call = ["fetch", "eurosat", "--to", str(tmp_path), "--mirror", server.url]
        assert main(call) == 1
        assert main([*call, "--json"]) == 1
    shown = capsys.readouterr()
    assert "EuroSAT.zip: has 7 bytes, expected 94,280,567; removed it" in shown.err
    assert [*json.loads(shown.out)["failures"]] == ["eurosat"]


def test_the_failure_of_one_data_set_does_not_stop_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server({}) as server:
        call = ["fetch", "cassava", "dtd", "--to", str(tmp_path), "--mirror", server.url]
        assert main(call) == 1
    shown = capsys.readouterr().err
    assert "cassava must be fetched by hand" in shown and "answers 404" in shown


def test_fetch_of_what_is_there_prints_the_line_of_the_site_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of CIFAR-100 only sizes and last bytes are looked at, so that a listing costs nothing."""
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "ciFAIR-100").mkdir()
    for name in ("cifar-100-python/train", "cifar-100-python/test", "ciFAIR-100/test"):
        with open(tmp_path / name, "wb") as file:
            file.seek(50_000 * 3072)
            file.write(b".")
    (tmp_path / "cifar-100-python/meta").write_bytes(b".")
    assert main(["fetch", "cifar100", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        f"cifar100: was there already ({tmp_path})\n"
        f'write into the site file:\n\ndatasets:\n  cifar100: "{tmp_path}"\n'
    )
    site = tmp_path / "site.yaml"
    site.write_text("datasets: {cifar100: .}\n")
    assert main(["fetch", "cifar100", "--to", str(tmp_path), "--site", str(site)]) == 0
    assert capsys.readouterr().out == f"cifar100: was there already ({tmp_path})\n"


def test_ctrl_c_keeps_what_has_arrived(tmp_path: Path) -> None:
    with Server({"dtd-r1.0.1.tar.gz": bytes(300_000)}) as server:
        server.faults += [stalls(100_000)]
        command = [sys.executable, "-m", "hpc_xfer.datasets", "fetch", "dtd", "--to", str(tmp_path)]
        fetch = subprocess.Popen(
            [*command, "--mirror", server.url],
            stderr=subprocess.PIPE,
            # A job in the background of a shell ignores Ctrl-C, and so would its children.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        part = tmp_path / "archives/dtd-r1.0.1.tar.gz.part"
        wait_for(lambda: part.exists() and part.stat().st_size == 100_000, 60)
        fetch.send_signal(signal.SIGINT)
        _, said = fetch.communicate(timeout=60)
    assert fetch.returncode == 130
    assert said.decode().endswith("interrupted; call again to go on from here\n")
    assert part.stat().st_size == 100_000


@pytest.mark.parametrize(
    "call",
    [
        ["fetch", "no-such-set", "--to", "x"],
        ["fetch", "pets"],
        ["check", "pets", "--workers", "0"],
        [],
    ],
)
def test_a_wrong_call_ends_with_two(call: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(call)
    assert caught.value.code == 2


def test_a_mirror_that_is_no_address_ends_with_two(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hpc_xfer.datasets", "fetch", "dtd", "--to", str(tmp_path)]
    done = subprocess.run([*command, "--mirror", "/data"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        2,
        "--mirror /data: must begin with http:// or https://; correct it\n",
    )


def test_check_reports_each_split(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "mine", "pets", "--site", str(site)]) == 0
    shown = capsys.readouterr().out
    assert "mine: mine" in shown and "pets: pets (subset)" in shown
    assert shown.count("fingerprint: ") == 2
    lines = [line.split() for line in shown.splitlines()]
    assert ["cat", "1", "1"] in lines and ["beagle", "3", "1"] in lines


def test_check_fails_with_a_sentence_for_each_fault(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.parent / "mine/train/cat/1.png").write_bytes(b"no image")
    assert main(["check", "mine", "--site", str(site)]) == 1
    assert "data set 'mine': 1 image cannot be decoded; fetch or" in capsys.readouterr().out
    assert main(["check", "mine", "--site", str(site), "--json"]) == 1
    [report] = json.loads(capsys.readouterr().out)["checked"].values()
    assert len(report["problems"]) == 1 and len(report["examples"]) == 1


def test_a_data_set_that_cannot_be_read_fails_and_the_others_are_checked(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.parent / "pets/oxford-iiit-pet/annotations/test.txt").unlink()
    assert main(["check", "pets", "mine", "--site", str(site), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert [*shown["failures"]] == ["pets"] and [*shown["checked"]] == ["mine"]


def test_check_can_accept_a_changed_data_set_for_a_store(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "store")
    keep_first(store, "mine", "a" * 64)
    assert main(["check", "mine", "--site", str(site), "--accept", str(store.root)]) == 0
    shown = capsys.readouterr().out
    fingerprint = shown.split("fingerprint: ")[1].strip()
    assert f"mine: runs from now on use {fingerprint[:12]}, not aaaaaaaaaaaa" in shown
    check_unchanged(store, "mine", fingerprint)


def test_check_accepts_class_names_and_no_images_that_are_wrong(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "store")
    check_words_unchanged(store, "mine", "a" * 64)
    keep_first(store, "mine", "a" * 64)
    train = site.parent / "mine/train/cat/0.png"
    (site.parent / "mine/test/cat/0.png").write_bytes(train.read_bytes())
    call = ["check", "mine", "--site", str(site), "--accept", str(store.root)]
    assert main(call) == 1
    shown = capsys.readouterr().out
    assert "mine: runs from now on use its present class names and prompts" in shown
    assert "mine: a change of images is not accepted; mend what is told first" in shown
    check_unchanged(store, "mine", "a" * 64)
    assert main([*call, "--json"]) == 1
    assert "not accepted" in capsys.readouterr().err
