"""Look at the jobs of a study as Slurm has them; age its ledger; let squeue answer falsely."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

from hpc_xfer.slurm.parsing import FIELDS
from hpc_xfer.store.submission_ledger import read_ledger
from tests.cluster import Cluster
from tests.conftest import Command
from tests.faults import SlurmStudy

# Puts the mark of this question, which the code draws anew each time, before each old line.
_OLD_ANSWER = """\
for word; do
  case $word in
    *"|{fields}") exec sed "s/^/${{word%%|*}}|/" '{answer}';;
  esac
done
exec {squeue} "$@"
"""


def runs_in_queue(study: SlurmStudy, cluster: Cluster) -> Counter[str]:
    """For each run, how many live jobs have its name; and how many relays there are.

    Jobs whose names are not in the study's ledger do not count.
    """
    ledger, found = read_ledger(study.store), Counter[str]()
    for line in cluster.run("squeue", "-h", "-r", "-o", "%K|%j").splitlines():
        index, _, name = line.partition("|")
        submission = ledger.submissions.get(name)
        if submission is not None:
            packs = ledger.packs(submission)
            found.update(packs[0 if index == "N/A" else int(index)] if packs else ["relay"])
    return found


def once_each(study: SlurmStudy) -> Counter[str]:
    return Counter([run.id for run in study.plan.runs] + ["relay"])


def numbers_by_name(cluster: Cluster) -> dict[str, str]:
    """The number of each job in the queue, an array as a whole, by its name."""
    lines = cluster.run("squeue", "-h", "-o", "%F|%j").splitlines()
    return {name: number for number, _, name in (line.partition("|") for line in lines)}


def is_now_an_hour_later(study: SlurmStudy) -> None:
    """Date back what the ledger has: jobs of the last minute are not called lost."""
    path = study.store.study("faults").launches
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "stored" in line:
            line["stored"] -= 3600
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def squeue_prints_nothing(command: Command) -> None:
    """From now on squeue prints nothing and exits 0, as with a cache that was just emptied."""
    command("squeue", "exit 0")


def squeue_repeats_itself(command: Command, cluster: Cluster, folder: Path) -> None:
    """From now on squeue gives the answer of this moment, as with a site's cache."""
    answer = folder / "squeue-answer"
    options = ("-h", "-a", "-r", "-t", "all", "-o", FIELDS)
    answer.write_text("".join(f"{line}\n" for line in cluster.run("squeue", *options).splitlines()))
    script = _OLD_ANSWER.format(fields=FIELDS, answer=answer, squeue=_behind_wrappers("squeue"))
    command("squeue", script)


def squeue_is_right_again(command: Command) -> None:
    command("squeue", f'exec {_behind_wrappers("squeue")} "$@"')


def _behind_wrappers(program: str) -> str | None:
    """The path of a program, without the folder that `command` puts first."""
    return shutil.which(program, path=os.environ["PATH"].partition(os.pathsep)[2])
