"""Odd files in a store: each is told by its name, set aside, and stops no study."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpc_xfer.store import failures, heartbeat
from hpc_xfer.store.ownership import run_claims
from hpc_xfer.store.paths import RunDir
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.system import atomic_files, set_aside
from hpc_xfer.system.limits.bounded_json import UnfitJson, parse
from tests.security.launched_store import LaunchedStore

MANY_DIGITS = "1" * 400
DEEP = "[" * 1_000_000


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = Store(tmp_path / "store").run("c0ffee12ab34")
    found.claims.mkdir(parents=True)
    set_aside.take()
    return found


def with_values(path: Path, **values: Any) -> str:
    """The content of a file with other values."""
    return json.dumps(json.loads(path.read_text()) | values)


def with_seconds(path: Path, number: str) -> str:
    return with_values(path, timing={"seconds": "SECONDS"}).replace('"SECONDS"', number)


def with_costs(path: Path, **values: Any) -> str:
    return with_values(path, costs={"images": {}, "speed": {"flops": 1e12}} | values)


ODD_FILES: dict[str, tuple[str, Callable[[Path], str]]] = {
    "a claim without an owner": ("claim", lambda path: "{}"),
    "a claim of all processes": ("claim", lambda path: with_values(path, pid=-1)),
    "a record a million deep": ("record", lambda path: DEEP),
    "seconds of 400 digits": ("record", lambda path: with_seconds(path, MANY_DIGITS)),
    "infinite seconds": ("record", lambda path: with_seconds(path, "1e400")),
    "seconds that are a word": ("record", lambda path: with_values(path, timing={"seconds": "x"})),
    "a gpu that is a list": ("record", lambda path: with_values(path, provenance={"gpu": ["x"]})),
    "metrics that are a list": ("record", lambda path: with_values(path, metrics=[1])),
    "a history that is a number": ("error", lambda path: with_values(path, history=5)),
    "a class that is a mapping": ("error", lambda path: '{"class": {"a": 1}, "message": "x"}'),
    "a heartbeat without time": ("progress", lambda path: '{"step": 3, "total": 9}'),
    "packs that are numbers": ("manifest", lambda path: with_values(path, packs=[[1, 2], 5])),
    "packs with paths": ("manifest", lambda path: with_values(path, packs=[["../../etc"]])),
    "a plan that is a list": ("plan", lambda path: "[]"),
    "a plan with a run that is a number": ("plan", lambda path: with_values(path, runs=[1])),
    "costs of a computer without speed": (
        "plan", lambda path: with_costs(path, speed={"flops": 0})
    ),
    "costs of images that are words": (
        "plan", lambda path: with_costs(
            path, images={"digits": {"train": "x", "test": "x", "classes": "x"}}
        )
    ),
    "a fingerprint that is a list": ("fingerprint", lambda path: "[]"),
    "a lock without an owner": ("lock", lambda path: "{}"),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD_FILES)
def test_an_odd_file_stops_no_command(study: LaunchedStore, what: str) -> None:
    kind, content = ODD_FILES[what]
    path = study.files[kind]
    path.write_text(content(path))
    if kind == "record":  # which is read only while no list says that it is sound
        study.store.finished.unlink()
    shown = study.call_all()
    if kind not in ("fingerprint", "record"):  # nothing here reads it; `collect` lists it
        assert f"{path}: " in shown and "set aside, not used" in shown


LINES: dict[str, str | dict[str, Any]] = {
    "a list": "[]",
    "a number": "5",
    "nested a million deep": DEEP,
    "a number of 400 digits": f'{{"event": "hit", "time": {MANY_DIGITS}}}',
    "no name": '{"event": "submitted", "job": "12"}',
    "names that are a number": '{"event": "confirmed", "names": 5}',
    "names that are lists": '{"event": "confirmed", "names": [["x"]]}',
    "elements of which there are too many": {"event": "intent", "elements": 10**12},
    "elements that are a word": {"event": "intent", "elements": "many"},
    "an array of another folder": {"event": "intent", "batch": "../../x"},
    "a date that is none": {"event": "intent", "time": "yesterday"},
    "a date without a zone": {"event": "intent", "time": "2026-01-01T00:00:00"},
    "a host of 10 MB": {"event": "intent", "host": "x" * 10_000_000},
    "a job that is a command": '{"event": "submitted", "name": "NAME", "job": "; rm"}',
    "a job that is an option": '{"event": "submitted", "name": "NAME", "job": "--me"}',
    "cancelled elements that are words": '{"event": "cancelled", "name": "NAME", "elements": "x"}',
    "a node that is a list of nodes": (
        '{"event": "hit", "node": "n[1-9]", "class": "killed", "job": "7", '
        '"time": "2026-11-26T00:00:00+00:00"}'
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
def test_an_odd_line_of_a_ledger_stops_no_study(study: LaunchedStore, what: str) -> None:
    odd, path = LINES[what], study.files["ledger"]
    known = path.read_text().splitlines()
    line = odd if isinstance(odd, str) else json.dumps(json.loads(known[0]) | odd)
    before = read_ledger(study.store)
    name = next(iter(before.submissions))
    line = line.replace("NAME", name)
    path.write_text("\n".join([line, *known, line, ""]))
    shown = study.call_all()
    assert f"{path}: lines 1, {len(known) + 2} are not ledger lines; set aside" in shown
    after = read_ledger(study.store)
    assert after.submissions == before.submissions
    assert len(after.node_failures) == 1


def test_what_is_no_folder_of_a_study_is_told_and_passed_over(study: LaunchedStore) -> None:
    (study.store.all_studies / "README").touch()
    (study.store.all_studies / "a study").mkdir()
    (study.store.all_studies / "empty").mkdir()
    (study.store.all_studies / "elsewhere").symlink_to("/etc")
    (study.store.all_studies / ".nfs0001").touch()
    code, _, errors = study.call("status")
    assert code == 1  # a run failed
    for name in ("README", "a study", "elsewhere"):
        assert f"{study.store.all_studies / name}: is not the folder of a study" in errors
    assert "empty" not in errors and ".nfs" not in errors


def test_a_study_cannot_take_a_job_of_another(study: LaunchedStore) -> None:
    ledger = read_ledger(study.store)
    name = next(iter(ledger.submissions))
    intent = json.loads(study.files["ledger"].read_text().splitlines()[0])
    other = study.store.study("other")
    lines = [intent | {"user": "root"}, {"event": "submitted", "name": name, "job": "999"}]
    atomic_files.append_line(other.launches, "\n".join(map(json.dumps, lines)))
    assert read_ledger(study.store).submissions[name] == ledger.submissions[name]


def test_json_of_a_command_has_what_was_set_aside(study: LaunchedStore) -> None:
    study.files["error"].write_text("[]")
    for module, key in (("status", "set_aside"), ("collect", "set_aside_files")):
        told = json.loads(study.call(module, "--json")[1])
        assert told[key] == [f"{study.files['error']}: is not a failure; set aside, not used"]


def test_an_odd_claim_is_one_that_nobody_holds(run: RunDir) -> None:
    for content in ("{}", "[]", '{"host": 5, "pid": 1}', '{"host": "n1", "pid": "x"}', DEEP):
        number = run_claims.attempts(run) + 1
        (run.claims / f"{number}.json").write_text(content)
        assert run_claims.holder(run) is None and not run_claims.is_alive(run)
        claim = run_claims.take(run)
        assert claim is not None and claim.number == number + 1
        claim.check()
        assert run_claims.take(run) is None  # this process lives
        claim.release()


@pytest.mark.parametrize("name", [str(10**30), "999999999", "٣", "0", "-1", "1e9", "1.5", "x"])
def test_a_number_that_no_claim_has_uses_up_no_numbers(run: RunDir, name: str) -> None:
    (run.claims / f"{name}.json").write_text("{}")
    assert run_claims.attempts(run) == 0
    assert run_claims.jobs_without_progress(run) == 0
    claim = run_claims.take(run)
    assert claim is not None and claim.number == 1
    assert run_claims.take(run) is None


def test_a_folder_and_a_pipe_in_the_place_of_a_claim_are_held_by_nobody(run: RunDir) -> None:
    (run.claims / "1.json").mkdir()
    os.mkfifo(run.claims / "2.json")
    assert run_claims.holder(run) is None
    claim = run_claims.take(run)
    assert claim is not None and claim.number == 3


def test_a_failure_of_an_older_version_is_read(run: RunDir) -> None:
    """It has no history; a traceback was one text."""
    run.error.write_text('{"class": "nan", "message": "it is nan", "traceback": "a\\nb"}')
    error = failures.read(run)
    assert error is not None
    assert (error["traceback"], error["history"], error["node"]) == (["a", "b"], [], "")


def test_a_key_of_a_newer_version_stays(run: RunDir) -> None:
    run.progress.write_text('{"time": 1, "step": 2, "temperature": {"gpu": 60}}')
    beat = heartbeat.read(run)
    assert beat is not None and beat["temperature"] == {"gpu": 60}


def test_a_failure_of_any_length_and_with_any_character_can_be_read_again(run: RunDir) -> None:
    failures.write(run, "code", "\udc80" + "x" * 10**6, ["\ud800", "y" * 10**6])
    error = failures.read(run)
    assert error is not None and error["message"].startswith("\\udc80xx")


@pytest.mark.parametrize(
    "text",
    [MANY_DIGITS, "-" + MANY_DIGITS, "9223372036854775808", "1e400", "[1E+999]", "NaN",
     '{"a": -Infinity}', DEEP, "", "{", '"\\ud800"', '{"a": 1' + "0" * 400 + ".5}"],
)  # fmt: skip
def test_json_that_python_would_trip_over_is_refused(text: str) -> None:
    with pytest.raises(UnfitJson):
        parse(text)


@pytest.mark.parametrize(
    "value",
    [2**63 - 1, -(2**63) + 1, 1.5e300, "9" * 400, "1e999", {"digest": "1e4000"},
     [0.1234567890123456789]],
)  # fmt: skip
def test_json_that_fits_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value)) == value


def test_a_failure_on_an_odd_node_counts_without_its_node(run: RunDir) -> None:
    failures.write(run, "nan", "the loss is nan", node="n1")
    failures.write(run, "nan", "the loss is nan", node="n2")
    content = json.loads(run.error.read_text())
    content["history"][0]["node"] = "n[1-9]; rm"
    run.error.write_text(json.dumps(content | {"node": ["x"]}))
    error = failures.read(run)
    assert error is not None and error["node"] == "" and set_aside.sentences() == []
    assert [past["node"] for past in error["history"]] == ["", "n2"]
