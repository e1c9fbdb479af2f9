"""The cache of `collect` saves work and changes no byte of any table."""

import json
import os
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hpc_xfer.results.collect_tables import collect
from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan, Run
from tests.fabricated import GRID, ONE_CELL, failure, make, record, record_all

PROBES = GRID.replace("mode: [ft]", "mode: [ft, lp, knn]")


def started(folder: Path, grid: str = GRID) -> tuple[Plan, Store, Path]:
    """A plan, its store, and the folder in which its cache will be."""
    study, plan, store = make(folder, grid)
    store.open()
    place = store.study(study.name)
    place.summary.mkdir(parents=True)
    return plan, store, place.record_cache


def tables(plan: Plan, store: Store, cached: bool = True) -> dict[str, bytes]:
    """Collect with the cache, or without any, into a new folder."""
    [study] = store.studies()
    folder = store.study(study)
    out = folder.summary if cached else folder.path / "without"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    collect(plan, store, out, folder if cached else None)
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hits(store: Store, run: Run, right: int, n_test: int = 64) -> None:
    """Let a run have these hits, and the accuracy that they add up to."""
    record(store, run, val_top1=0.5, test_top1=right / n_test, n_test=n_test)
    bits = np.zeros(n_test, dtype=np.uint8)
    bits[:right] = 1
    np.save(store.run(run.id).hits, np.packbits(bits))


def one_more(store: Store, run: Run, luck: random.Random) -> None:
    record(store, run, val_top1=luck.random())


def with_hits(store: Store, run: Run, luck: random.Random) -> None:
    hits(store, run, luck.randrange(8, 56))


def failed(store: Store, run: Run, luck: random.Random) -> None:
    store.run(run.id).record.unlink(missing_ok=True)
    failure(store, run)


def gone(store: Store, run: Run, luck: random.Random) -> None:
    shutil.rmtree(store.run(run.id).path, ignore_errors=True)


def broken(store: Store, run: Run, luck: random.Random) -> None:
    record(store, run)
    path = store.run(run.id).record
    path.write_text(path.read_text()[: luck.randrange(100)])


def doubled(store: Store, run: Run, luck: random.Random) -> None:
    record(store, run)
    shutil.copy(store.run(run.id).record, store.run(run.id).path / "record (1).json")


def on_other_images(store: Store, run: Run, luck: random.Random) -> None:
    record(store, run, n_test=luck.choice([899, 900]))


def with_a_new_metric(store: Store, run: Run, luck: random.Random) -> None:
    record(store, run, **{luck.choice(["fresh_top1", "classes", "grams"]): 3})


CHANGES = (
    one_more, with_hits, failed, gone, broken, doubled, on_other_images, with_a_new_metric,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_to_records_the_tables_are_those_without_a_cache(
    tmp_path: Path, seed: int
) -> None:
    plan, store, _ = started(tmp_path)
    luck = random.Random(seed)
    record_all(store, luck.sample(plan.runs, luck.randrange(40, len(plan.runs))))
    for _ in range(5):
        for run in luck.sample(plan.runs, luck.randrange(3)):
            luck.choice(CHANGES)(store, run, luck)
        assert tables(plan, store) == tables(plan, store, cached=False)


def test_probes_come_back_from_the_cache_as_they_were(tmp_path: Path) -> None:
    plan, store, _ = started(tmp_path, PROBES)
    record_all(store, plan.runs)
    first = tables(plan, store)
    assert first == tables(plan, store) == tables(plan, store, cached=False)


def test_a_second_grid_of_one_run_gets_its_column_in_all_rows(tmp_path: Path) -> None:
    """The column is left out while there is one grid, from what is in the cache too."""
    plan, store, _ = started(tmp_path, PROBES)
    record_all(store, plan.runs)
    assert b"l2_grid" not in tables(plan, store)["cells.csv"]
    path = store.run(next(run.id for run in plan.runs if run.spec.get("mode") == "lp")).record
    content = json.loads(path.read_text())
    content["path"] = {
        name: values[:-1] if isinstance(values, list) else values
        for name, values in content["path"].items()
    }
    path.write_text(json.dumps(content))
    found = tables(plan, store)
    assert b"l2_grid" in found["cells.csv"]
    assert found == tables(plan, store, cached=False)


def test_a_study_that_grows_keeps_its_cache(tmp_path: Path) -> None:
    plan, store, _ = started(tmp_path)
    record_all(store, plan.runs)
    tables(plan, store)
    _, larger, _ = make(tmp_path, GRID.replace("draws: 3", "draws: 4").replace("1e-3]", "1e-3, 1]"))
    record_all(store, larger.runs)
    assert tables(larger, store) == tables(larger, store, cached=False)


def test_a_record_whose_file_is_as_before_is_not_read_again(tmp_path: Path) -> None:
    """Records are replaced, never written over, so such a change is made here alone."""
    plan, store, cache = started(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    before = tables(plan, store)
    path = store.run(plan.runs[-1].id).record
    times, text = path.stat(), path.read_text()
    path.write_text(text.replace('"node1"', '"node2"'))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tables(plan, store) == before
    shutil.rmtree(cache)
    assert tables(plan, store) != before


def test_a_record_that_was_written_over_in_place_is_read_again(tmp_path: Path) -> None:
    plan, store, _ = started(tmp_path, ONE_CELL)
    record_all(store, plan.runs)
    tables(plan, store)
    path = store.run(plan.runs[-1].id).record
    path.write_text(json.dumps(json.loads(path.read_text())))  # shorter
    path.write_text(path.read_text().replace('"node1"', '"node2"'))
    assert b"node2" in tables(plan, store)["runs.csv"]


def test_hits_that_were_written_over_are_checked_again(tmp_path: Path) -> None:
    plan, store, _ = started(tmp_path, ONE_CELL)
    record(store, plan.runs[0])
    for run in plan.of("finetune"):
        hits(store, run, 40)
    assert "set_aside.csv" not in tables(plan, store)
    for run in plan.of("finetune"):
        store.run(run.id).hits.write_bytes(b"no array")
    assert b"is not an array of bits" in tables(plan, store)["set_aside.csv"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-100],
        lambda data: data.replace(b"clip", b"clap"),
        lambda data: b"0" * 64 + data[64:],  # of other code
        lambda data: bytes(range(256)) * 10,
    ],
)
def test_a_cache_that_is_damaged_or_foreign_is_made_anew(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    plan, store, cache = started(tmp_path)
    record_all(store, plan.runs)
    before, whole = tables(plan, store), contents(cache)
    for path in cache.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    assert tables(plan, store) == before
    assert contents(cache) == whole


def test_one_damaged_file_of_a_cache_leaves_the_others_in_use(tmp_path: Path) -> None:
    plan, store, cache = started(tmp_path)
    record_all(store, plan.runs)
    before = tables(plan, store)
    for name in contents(cache):
        (cache / name).write_bytes(b"")
        assert tables(plan, store) == before


def test_one_new_record_writes_no_file_of_another_pre_training_anew(tmp_path: Path) -> None:
    plan, store, cache = started(tmp_path)
    record_all(store, plan.runs)
    tables(plan, store)
    inodes = {path.name: path.stat().st_ino for path in cache.iterdir()}
    record(store, plan.runs[-1], val_top1=0.9)
    tables(plan, store)
    same = {path.name for path in cache.iterdir() if path.stat().st_ino == inodes[path.name]}
    assert same >= {run.id for run in plan.of("pretrain")} - {plan.runs[-1].parents[0].id}


def test_two_at_once_write_the_same_tables(tmp_path: Path) -> None:
    plan, store, cache = started(tmp_path)
    record_all(store, plan.runs)
    outs = [tmp_path / "a", tmp_path / "b"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda out: collect(plan, store, out, store.study("tiny")), outs))
    assert contents(outs[0]) == contents(outs[1])
    assert not [name for name in contents(cache) if name.startswith(".")]


def test_a_study_that_was_not_launched_gets_no_folder(tmp_path: Path) -> None:
    _, plan, store = make(tmp_path, ONE_CELL)
    collect(plan, store, tmp_path / "out", store.study("one"))
    assert store.studies() == []
    assert len(csv_files.read(tmp_path / "out/missing.csv")) == 4


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    plan, store, cache = started(tmp_path, ONE_CELL)
    for run in plan.runs:
        record(store, run)
    before = tables(plan, store)
    made = {path: path.stat().st_ino for path in cache.iterdir()}
    assert tables(plan, store) == before
    assert {path: path.stat().st_ino for path in cache.iterdir()} == made  # all were used
    for path in made:
        path.chmod(0o666)
    assert tables(plan, store) == before
    assert not made.items() & {path: path.stat().st_ino for path in cache.iterdir()}.items()
