"""What others wrote into a store, a shard or Slurm reaches a terminal as text, in every command."""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from hpc_xfer.store.heartbeat import Heartbeat
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import read_ledger
from hpc_xfer.study.plan import Plan
from hpc_xfer.system import atomic_files
from tests.fabricated import GRID, make, record_all

# Clears the screen, names the window, rings, turns the text around, overwrites and forges a line.
EVIL = "\x1b[2J\x1b]0;pwned\x07\u202e\u2066\x9b31m\x7f\rok\nforged: all is well\u2028"
FORGED = "forged: all is well"
# What rich writes itself in a terminal: colours, and the moves of a live display.
_OF_RICH = re.compile(r"\r?\x1b\[([\d;]*m|\?25[lh]|\d*[ABK])")
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def run(*arguments: str, color: bool = False, code: tuple[int, ...] = (0, 1, 2), **env: str) -> str:
    """Run a command; return all that it printed, which has no line of others and moves nothing."""
    if color:
        env |= {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, env={**os.environ, **env},
        timeout=120, check=False,
    )  # fmt: skip
    printed = (done.stdout + done.stderr).decode()
    assert done.returncode in code, printed
    assert "Traceback" not in printed, printed
    shown = _OF_RICH.sub("", printed) if color else printed
    assert _OBEYED.findall(shown) == [], shown
    assert [line for line in shown.splitlines() if line.lstrip().startswith(FORGED)] == []
    return printed


@pytest.fixture
def forged(tmp_path: Path) -> Iterator[tuple[Path, Store, Plan]]:
    """A study in whose store every text field of every kind of file was written by others."""
    grid = GRID.replace("[8000, 16000]", "8000").replace("[digits, mnist]", "[digits]")
    study, plan, store = make(tmp_path, grid)
    record_all(store, plan.runs[:-5])
    for path in (store.run(each.id).record for each in plan.runs[:-5]):
        content = json.loads(path.read_text())
        content["provenance"] |= {"host": EVIL, "gpu": EVIL, "commit": EVIL}
        content["metrics"]["made up " + EVIL] = EVIL
        atomic_files.write_json(path, content)
    failed, unlike, held, broken, odd = plan.runs[-5:]
    for each, kind, job in ((failed, "code", None), (unlike, EVIL, EVIL)):
        past = {"class": kind, "node": "n1", "job": job}
        error = {
            "schema": 1, "run": each.id, **past, "message": EVIL, "traceback": [EVIL, EVIL],
            "attempt": 0, "history": [past],
        }  # fmt: skip
        atomic_files.write_json(store.run(each.id).error, error)
    claim = {"pid": 1, "host": EVIL, "slurm_job": EVIL, "attempt": 1, "token": EVIL, "boot": EVIL}
    Heartbeat(store.run(held.id), 100, 10)
    (store.run(held.id).path / "claims").mkdir(parents=True)
    atomic_files.write_json(store.run(held.id).path / "claims/1.json", claim)
    atomic_files.write_json(store.run(broken.id).record, {"run": EVIL, "metrics": {}, "schema": 1})
    atomic_files.write_json(store.run(odd.id).record, {"run": odd.id, "metrics": EVIL})
    (store.run(odd.id).path / f"record{EVIL[:20]}.json").write_text("{}")
    read_ledger(store).record_event(study.name, "launch", on="local")
    with open(store.study(study.name).launches, "a") as ledger:
        ledger.writelines(map(_line, ledger_lines()))
    yield tmp_path / "grid.yaml", store, plan


def ledger_lines() -> list[dict[str, object]]:
    who = {"time": "2026-01-01T00:00:00+00:00", "host": EVIL, "pid": 1}
    intent = {
        "event": "intent", "name": f"ft.tiny.{EVIL}", "kind": "finetune", "batch": EVIL,
        "elements": 2, "user": EVIL, "lane": 0, "cluster": EVIL, "root": EVIL, "code": EVIL,
    }  # fmt: skip
    submitted = {"event": "submitted", "name": f"ft.tiny.{EVIL}", "job": EVIL}
    hit = {"event": "hit", "node": EVIL, "class": EVIL, "job": EVIL, "job_name": EVIL}
    return [{**who, **each} for each in (intent, submitted, hit, {"event": EVIL})]


def _line(content: dict[str, object]) -> str:
    return json.dumps(content) + "\n"


@pytest.mark.parametrize("color", [False, True], ids=["log", "terminal"])
def test_commands_on_a_study_print_no_text_of_others_raw(
    forged: tuple[Path, Store, Plan], color: bool
) -> None:
    grid, store, plan = forged
    study = [str(grid), "--store", str(store.root)]
    assert r"\x1b[2J" in run("hpc_xfer.status", *study, color=color)
    for each in plan.runs[-5:]:
        run("hpc_xfer.status", *study, "--why", each.id, color=color)
    run("hpc_xfer.status", *study, "--job", "1234", color=color)
    run("hpc_xfer.collect", *study, color=color)
    run("hpc_xfer.report", *study, color=color)
    run("hpc_xfer.launch", *study, "--dry-run", "--on", "local", color=color)


def test_json_for_scripts_holds_the_text_and_no_control_character(
    forged: tuple[Path, Store, Plan],
) -> None:
    grid, store, _ = forged
    study = [str(grid), "--store", str(store.root), "--json"]
    printed = run("hpc_xfer.status", *study)
    assert printed.isascii()
    run("hpc_xfer.collect", *study)


def test_names_in_a_tar_are_shown_as_text(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for name, data in (("a.png", b"x"), ("b.png", picture.getvalue()), ("b.cls", b"x")):
            member = tarfile.TarInfo(f"{EVIL.replace(chr(0x2028), '')}{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    printed = run("hpc_xfer.shards", "index", str(folder))
    printed += run("hpc_xfer.shards", "check", str(folder))
    printed += run("hpc_xfer.shards", "check", str(folder), "--json")
    assert r"\x1b" in printed or r"\u001b" in printed


def test_names_of_folders_and_images_are_shown_as_text(tmp_path: Path) -> None:
    home = tmp_path / "photos"
    for split in ("train", "test"):
        for kind in ("cat", EVIL.replace("/", "")):
            folder = home / split / kind
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), "red").save(folder / f"0{EVIL}.png")
            (folder / f"1{EVIL}.png").write_bytes(b"no image")
    site = tmp_path / "site.yaml"
    site.write_text(f"datasets:\n  photos: {home}\n")
    for color in (False, True):
        run("hpc_xfer.datasets", "list", "--site", str(site), color=color)
        run("hpc_xfer.datasets", "check", "photos", "--site", str(site), color=color)
    out = tmp_path / "made"
    run("hpc_xfer.shards", "make", str(home / "train"), "--out", str(out), "--max-broken", "1")


@pytest.mark.parametrize(
    "arguments",
    [
        ("hpc_xfer.status", EVIL), ("hpc_xfer.shards", "check", EVIL),
        ("hpc_xfer.status", "no.yaml", "--why", EVIL), ("hpc_xfer.import", EVIL, "no.yaml"),
        ("hpc_xfer.status", f"--{EVIL}"), ("hpc_xfer.collect", "no.yaml", "--site", EVIL),
    ],
)  # fmt: skip
def test_arguments_come_back_as_text(arguments: tuple[str, ...]) -> None:
    run(*(argument.replace("\x00", "") for argument in arguments))


def test_what_a_results_file_says_is_shown_as_text(
    forged: tuple[Path, Store, Plan], tmp_path: Path
) -> None:
    grid, store, _ = forged
    results = tmp_path / "results.csv"
    name = EVIL.replace("\n", " ")
    results.write_text(
        f"label,dataset,shots,mode,test_top1,{name}\n{name},{name},1,ft,0.5,1\n{name},,x,y,z,2\n"
    )
    run("hpc_xfer.import", str(results), str(grid), "--store", str(store.root))
    lines = results.read_text().splitlines(keepends=True)
    results.write_text("".join(lines[:-1]))
    run("hpc_xfer.import", str(results), str(grid), "--store", str(store.root))


def test_a_bug_of_ours_shows_its_trace_as_text(tmp_path: Path) -> None:
    code = "from hpc_xfer import cli\ndef main(argv): raise KeyError(argv)\n"
    code += f"cli.exit_with(lambda _: exec({EVIL!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode and _OBEYED.findall(done.stderr.decode()) == []


@pytest.mark.parametrize("what", ["squeue", "sbatch"])
def test_what_slurm_says_is_shown_as_text(
    forged: tuple[Path, Store, Plan], tmp_path: Path, what: str
) -> None:
    grid, store, _ = forged
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "text").write_bytes(EVIL.encode())
    for program in ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "scancel", "sacctmgr"):
        path = folder / program
        path.write_text(f"#!/bin/sh\ncat {folder}/text >&2\ncat {folder}/text\nexit 1\n")
        path.chmod(0o755)
    programs = f"{folder}:{os.environ['PATH']}"
    study = [str(grid), "--store", str(store.root)]
    for command in ("status", "cancel", "launch") if what == "squeue" else ("doctor",):
        run(f"hpc_xfer.{command}", *study, PATH=programs)
