"""A chain of three pre-trainings on a real Slurm: first a part of it by --only, then the rest."""

import json
from pathlib import Path

import pytest

from tests import tiny
from tests.cluster import Cluster
from tests.faults import SlurmStudy
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
TRAINED = "arch: tiny.json, source: sans, samples: 512, batch: 32, warmup_steps: 9"
CHAIN = f"""\
pretrain:
  - {{init: middle, method: simclr, {TRAINED}, samples_seen: 64, projection: [16, 16, 8]}}
  - {{name: base, method: supervised, {TRAINED}, samples_seen: 640}}
  - {{name: middle, init: base, method: supervised, {TRAINED}, samples_seen: 320}}
finetune:
"""


def test_a_chain_is_launched_in_part_and_then_whole(
    tmp_path: Path, shards: Path, cluster: Cluster
) -> None:
    study = SlurmStudy(tmp_path, shards, steps=1)
    head, _, rest = study.grid.read_text().partition("pretrain:\n")
    study.grid.write_text(head + CHAIN + rest.partition("finetune:\n")[2])
    base, middle, last = study.plan.of("pretrain")
    assert (middle.parents, last.parents) == ((base,), (middle,))
    own = f"run={'|'.join(run.id for run in study.plan.runs if run.parents[:1] == (base,))}"

    told = study.launch("--only", "samples_seen=320,mode=lp")
    assert told["submitted"]["runs"] == 1 + 1 + 2  # the chain up to `middle`, and its trials
    recorded = json.loads(study.store.study("faults").plan.read_text())["only"]
    assert recorded == ["samples_seen=320,mode=lp"]
    assert study.launch("--only", own)["submitted"]["runs"] == 2
    wait_for(lambda: study.is_over(cluster), 600)
    done = {run.id for run in study.plan.runs if study.store.is_done(run)}
    assert done == {run.id for run in study.plan.runs} - {
        run.id for run in study.plan.runs if run == last or last in run.parents
    }

    whole = study.launch()
    assert whole["submitted"]["runs"] == 1 + 2
    study.ends(cluster)
    assert "only" not in json.loads(study.store.study("faults").plan.read_text())
    for parent, child in ((base, middle), (middle, last)):
        record = tiny.record(study.store.run(child.id))
        assert record["parents"] == [parent.id]
        assert record["provenance"]["data"]["weights"]["run"] == parent.id
    rows = (study.store.study("faults").summary / "averages.csv").read_text()
    assert "pretrain_init" in rows.splitlines()[0]


def test_a_part_of_a_study_is_cancelled(tmp_path: Path, shards: Path, cluster: Cluster) -> None:
    cluster.drain()
    study = SlurmStudy(tmp_path, shards, draws=2, target=2)  # two runs in an element
    assert study.launch()["submitted"]["elements"] == 1 + 2
    told = json.loads(study.call("cancel", "--json", "--only", "draw=0"))
    assert len(told["cancelled"]) == 1 and "kept_for_other_parts" not in told
    told = json.loads(study.call("cancel", "--json", "--only", "draw=1,lr=0.001", code=2) or "{}")
    assert told == {}  # lr is no column of --only
    run = next(run for run in study.plan.of("finetune") if run.spec["draw"] == 1)
    told = json.loads(study.call("cancel", "--json", "--only", f"run={run.id}"))
    assert told["cancelled"] == [] and len(told["kept_for_other_parts"]) == 1
    shown = json.loads(study.call("status", "--json", "--only", "draw=0", code=None))
    assert len(shown["runs"]) == 1 + 2
