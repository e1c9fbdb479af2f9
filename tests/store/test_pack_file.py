"""Several workers share the runs of a pack, and each run is the work of one of them first."""

import json
from pathlib import Path
from typing import Any

from hpc_xfer.store.pack_file import LoadedPack, read_pack
from hpc_xfer.store.store import Store
from hpc_xfer.study.job_arrays import JobArray
from hpc_xfer.study.plan import Pack, Run
from tests import tiny

RUNS = tuple(tiny.finetuning(tiny.pretraining("scratch"), draw=draw) for draw in range(5))
PACK = LoadedPack("a/0", RUNS, tiny.FINETUNE)


def test_shares_cover_a_pack_without_overlap() -> None:
    shares = [PACK.share(number, 2) for number in range(2)]
    assert [share.runs for share in shares] == [RUNS[0::2], RUNS[1::2]]
    assert [share.spare for share in shares] == [RUNS[1::2][::-1], RUNS[0::2][::-1]]


def test_one_worker_has_the_whole_pack() -> None:
    assert PACK.share(0, 1) == PACK


def packed(store: Store, runs: tuple[Run, ...]) -> tuple[str, dict[str, Any]]:
    """Write a pack as a launch does; return its name and the content of its manifest."""
    array = JobArray((Pack(runs, 1, 1),))
    store.open("test")
    path = store.write_manifest("test", array, tiny.FINETUNE.model_dump(mode="json"))
    return f"{array.id}/0", json.loads(path.read_text())


def rewritten(store: Store, name: str, content: dict[str, Any]) -> LoadedPack:
    store.study("test").manifest(name.partition("/")[0]).write_text(json.dumps(content))
    return read_pack(store, "test", name)


def test_a_recipe_that_cannot_be_read_keeps_no_other_run_of_its_pack_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    name, content = packed(store, RUNS)
    content["runs"][RUNS[1].id]["recipe"]["colour"] = "red"
    content["runs"][RUNS[2].id]["recipe"]["lr"] = 0.5  # another recipe than the id says
    del content["runs"][RUNS[3].id]
    pack = rewritten(store, name, content)
    assert [run.id for run in pack.runs] == [RUNS[0].id, RUNS[4].id]
    assert [each.id for each in pack.unread] == [run.id for run in RUNS[1:4]]
    for each, why in zip(pack.unread, ("colour", "another version", "is missing"), strict=True):
        assert f"this version cannot read the recipe of run {each.id}" in str(each.error)
        assert why in str(each.error) and "--retry-failed" in str(each.error)
    assert pack.share(0, 2).unread == pack.unread and not pack.share(1, 2).unread
    assert [each.id for each in pack.without([RUNS[1].id]).unread] == [r.id for r in RUNS[2:4]]


def test_resources_that_cannot_be_read_are_a_failure_of_each_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    name, content = packed(store, RUNS)
    content["resources"]["per_gpu"] = "many"
    pack = rewritten(store, name, content)
    assert not pack.runs and [each.id for each in pack.unread] == [run.id for run in RUNS]
    assert "cannot read the resources" in str(pack.unread[0].error)
