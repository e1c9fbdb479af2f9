"""`report --public` writes what can be published: it names no machine, no person and no place."""

import getpass
import json
import os
import re
from pathlib import Path

import pytest
from PIL import Image

from hpc_xfer import collect, report
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import atomic_files
from tests.fabricated import GRID, make, record, record_all

HOST, USER = "gpu17.lab.example.org", "jdoe"
MESSAGE = f"/home/{USER}/secret/laion/0.tar: cannot be read on {HOST}"


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    """A collected study whose records and failures name a host, a user and paths."""
    _, plan, store = make(tmp_path)
    record_all(store, plan.runs[:-2])
    for run in plan.runs[:-2]:
        path = store.run(run.id).record
        content = json.loads(path.read_text())
        content["provenance"]["host"] = HOST
        atomic_files.write_json(path, content)
    fail(store, plan, -2, "data", MESSAGE)
    fail(store, plan, -1, f"class of {USER}", MESSAGE)
    assert collect.main([str(tmp_path / "grid.yaml"), "--store", str(store.root)]) == 1
    return store.study("tiny")


def fail(store: Store, plan: Plan, which: int, kind: str, message: str) -> None:
    run = plan.runs[which]
    content = {"schema": 1, "run": run.id, "class": kind, "message": message, "attempt": 1}
    atomic_files.write_json(store.run(run.id).error, content)


def publish(study: StudyDir, *more: str) -> int:
    store = study.path.parent.parent
    return report.main([str(store.parent / "grid.yaml"), "--store", str(store), "--public", *more])


def files_of(folder: StudyDir) -> dict[str, bytes]:
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    return {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in files}


def test_it_holds_page_figures_and_tables_without_names(
    study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(study) == 0
    printed = capsys.readouterr().out
    assert str(study.public.report) in printed and "can be published" in printed
    files = files_of(study.public)
    assert {"report.html", "summary/runs.csv", "summary/missing.csv"} <= files.keys()
    assert {Path(name).suffix for name in files} >= {".png", ".svg", ".pdf", ".tex", ".csv"}
    words = [HOST, "gpu17", USER, str(study.path), "tensorboard", "/home/"]
    for name, data in files.items():
        assert [word for word in words if word.encode() in data] == [], name


def test_a_failure_is_named_by_its_class_alone(study: StudyDir) -> None:
    publish(study)
    rows = csv_files.read(study.public.summary / "missing.csv")
    failed = [row for row in rows if row["state"] == "failed"]
    assert sorted(row["class"] for row in failed) == ["data", "other"]
    assert {row["message"] for row in failed} == {""}


def test_the_code_that_made_the_numbers_stays(study: StudyDir) -> None:
    publish(study)
    rows = csv_files.read(study.public.summary / "runs.csv")
    assert {(row["commit"], row["gpu"], row["torch"]) for row in rows} == {
        ("3f2c9aa", "A100", "2.9.1")
    }
    assert "host" not in rows[0]
    assert "3f2c9aa" in study.public.report.read_text()


def test_files_of_figures_say_nothing_of_who_made_them(study: StudyDir) -> None:
    publish(study)
    for path in study.public.figures.iterdir():
        match path.suffix:
            case ".png":
                with Image.open(path) as picture:
                    assert picture.info.keys() <= {"dpi"}, path
            case ".pdf":
                found = re.findall(
                    rb"/(Creator|Author|Producer|\w*Date|Title)\b", path.read_bytes()
                )
                assert found == [], path
            case ".svg":
                text = path.read_text()
                assert "dc:date" not in text and "dc:creator" not in text, path


def test_all_links_of_the_page_lead_to_its_own_folder(study: StudyDir) -> None:
    publish(study)
    links = re.findall(r'href="([^"#][^"]*)"', study.public.report.read_text())
    assert links
    assert [link for link in links if not (study.public.path / link).is_file()] == []


@pytest.mark.parametrize("word", [HOST, HOST.upper(), "gpu17", "lab.example.org"])
def test_a_name_that_is_found_stops_it_and_is_told(study: StudyDir, word: str) -> None:
    grid = study.path.parent.parent.parent / "grid.yaml"
    grid.write_text(GRID.replace("Does pre-training help?", f"What does {word} say?"))
    with pytest.raises(Exception, match=r"report\.html: would hold .*\n.*--allow WORD") as error:
        publish(study)
    assert word in str(error.value)
    assert not study.public.path.exists()
    assert [path for path in study.path.iterdir() if path.name.startswith(".public")] == []


def test_a_path_of_anybody_stops_it_unless_it_is_allowed(study: StudyDir) -> None:
    grid = study.path.parent.parent.parent / "grid.yaml"
    grid.write_text(GRID.replace("Does pre-training help?", "Does /data/Bob/laion of 1/2 help?"))
    with pytest.raises(Exception, match="would hold `/data/Bob/laion`, a path"):
        publish(study)
    assert publish(study, "--allow", "/data/bob/laion") == 0


def test_a_host_that_is_called_by_its_address_hides_no_number(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "1.0.100.7")
    assert publish(study) == 0


def test_a_word_that_names_nobody_can_be_allowed(study: StudyDir) -> None:
    grid = study.path.parent.parent.parent / "grid.yaml"
    grid.write_text(GRID.replace("Does pre-training help?", "Does gpu17 help?"))
    assert publish(study, "--allow", "GPU17") == 0


def test_the_user_who_publishes_is_looked_for(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "digits")  # a data set in every table
    assert getpass.getuser() == "digits"
    with pytest.raises(Exception, match="would hold `digits`, a user"):
        publish(study)


def test_a_metric_that_a_record_made_up_shows_no_path(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path)
    record_all(store, plan.runs)
    record(store, plan.runs[0], note="see '/scratch/my data/x' and file:///srv/a")
    collect.main([str(tmp_path / "grid.yaml"), "--store", str(store.root)])
    study = store.study("tiny")
    assert publish(study) == 0
    notes = {row["note"] for row in csv_files.read(study.public.summary / "runs.csv")}
    assert notes == {"", "see [path] and [path]"}


def test_an_earlier_public_report_is_replaced_as_a_whole(study: StudyDir) -> None:
    publish(study)
    (study.public.path / "summary/old.csv").touch()
    before = files_of(study.public)
    publish(study)
    assert files_of(study.public).keys() == before.keys() - {"summary/old.csv"}


def test_a_public_folder_that_is_a_link_is_not_written_through(
    study: StudyDir, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    study.public.path.symlink_to(elsewhere)
    assert publish(study) == 0
    assert [*elsewhere.iterdir()] == [] and not study.public.path.is_symlink()


def test_the_default_report_shows_no_path_outside_the_store(study: StudyDir) -> None:
    store = study.path.parent.parent
    report.main([str(store.parent / "grid.yaml"), "--store", str(store)])
    message = f".../0.tar: cannot be read on {HOST}"
    rows = csv_files.read(study.summary / "missing.csv")
    assert {row["message"] for row in rows if row["state"] == "failed"} == {message}
    page = study.report.read_text()
    assert str(store) not in page and "/home/" not in page
    assert "tensorboard --logdir studies/tiny/tb" in page
    for path in study.summary.iterdir():
        assert os.fsencode(store) not in path.read_bytes(), path
