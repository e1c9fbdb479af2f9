"""Lists of keys reach the jobs through the store, under the digest of their content."""

from pathlib import Path

from hpc_xfer.config.recipes import Trained
from hpc_xfer.config.training_data import key_list
from hpc_xfer.config.training_data.columns import text_hash
from hpc_xfer.store.launched_study import prepare_store, read_launched
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan, restore_run
from hpc_xfer.study.study_file import load_study

GRID = """
name: x
pretrain:
  - {method: clip, arch: RN50, source: laion, select: {keys: {uid: lists/good.txt}},
     samples: 100, epochs: 1, batch: 10}
"""


def test_a_launch_puts_the_keys_into_the_store_where_jobs_find_them(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/good.txt").write_text("b\na\nb\n")
    (tmp_path / "a.yaml").write_text(GRID)
    study, store = load_study(tmp_path / "a.yaml"), Store(tmp_path / "store")
    plan = make_plan(study)
    prepare_store(study, plan, store)
    assert read_launched(store, "x")[1].runs[0].id == plan.runs[0].id
    (tmp_path / "lists/good.txt").unlink()
    read = restore_run("pretrain", plan.runs[0].spec, ())
    assert read.id == plan.runs[0].id and str(tmp_path) not in str(read.spec)
    assert isinstance(read.recipe, Trained) and read.recipe.select and read.recipe.select.keys
    found = key_list.hashes(read.recipe.select.keys, store.root).tolist()
    assert found == sorted([text_hash("a"), text_hash("b")])
    assert plan.runs[0].columns["pretrain_select"] == "keys good by uid"


def test_lists_of_one_file_name_are_told_apart_in_tables_and_keep_their_ids(tmp_path: Path) -> None:
    grid = GRID.replace("{keys: {uid: lists/good.txt}}", "[{keys: a/good.txt}, {keys: b/good.txt}]")
    for folder, text in (("a", "one\n"), ("b", "two\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "good.txt").write_text(text)
        (tmp_path / folder / "good.csv").write_text(f"{text}three\n")

    def selected(text: str) -> dict[str, str]:
        plan = make_plan(load_study(tmp_path / "a.yaml", text))
        return {run.id: run.columns["pretrain_select"] for run in plan.runs}

    both = selected(grid)
    assert list(both.values()) == ["keys a/good", "keys b/good"]
    alone = selected(grid.replace(", {keys: b/good.txt}", ""))
    assert list(alone.values()) == ["keys good"] and list(alone) == list(both)[:1]
    suffixes = selected(grid.replace("b/good.txt", "a/good.csv"))
    assert list(suffixes.values()) == ["keys good.txt", "keys good.csv"]
    (tmp_path / "b" / "good.txt").write_text("one\n")  # a copy: the same list
    blocks = "".join(GRID.replace("{uid: lists", f"{{uid: {x}").split("pretrain:")[1] for x in "ab")
    copies = selected("name: x\npretrain:" + blocks.replace("laion", "yfcc", 1))
    assert list(copies.values()) == ["keys good by uid"] * 2
