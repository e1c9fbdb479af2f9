"""Check that all runs of a data set were tested on the same images; tell apart what differs.

The record of a run names the fingerprint of its data set and the number of test images. Where the
records of a data set disagree, each version is a data set of its own in all tables, so nothing is
averaged or compared across them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpc_xfer.results.cells import Record, trial_recipe
from hpc_xfer.study.plan import Plan, Run

_SHORT = 8  # digits of a fingerprint in a name
_Key = tuple[str, int | None]  # fingerprint ("" where a record names none), test images


@dataclass(frozen=True)
class TestSets:
    """The name under which each run takes part, and what was found."""

    names: Mapping[tuple[str, _Key], str]  # data set and key -> name in tables
    keys: Mapping[str, _Key]  # run id -> key
    runs: Mapping[str, int]  # name in tables -> runs
    unchecked: int  # runs whose record names no fingerprint

    __test__ = False  # pytest: this is no test

    def name(self, run: Run) -> str:
        """Name of the data set of a run in tables; its own name where it has no record."""
        dataset = trial_recipe(run).dataset
        key = self.keys.get(run.id)
        return dataset if key is None else self.names[dataset, key]

    def agree(self, runs: Iterable[Run]) -> bool:
        """True where the finished ones of these runs were tested on the same images."""
        return len({self.name(run) for run in runs if run.id in self.keys}) <= 1


def check_test_sets(plan: Plan, records: Mapping[str, Record]) -> TestSets:
    """Compare what the records of each data set say of it."""
    keys = {run.id: _key(records[run.id]) for run in plan.of("finetune") if run.id in records}
    counts: dict[str, Counter[_Key]] = {}
    for run_id, key in keys.items():
        counts.setdefault(trial_recipe(plan.by_id[run_id]).dataset, Counter())[key] += 1
    names = {
        (dataset, key): name
        for dataset, found in counts.items()
        for key, name in _names(dataset, found).items()
    }
    runs: Counter[str] = Counter()
    for dataset, found in counts.items():
        for key, n in found.items():
            runs[names[dataset, key]] += n
    return TestSets(names, keys, runs, sum(not fingerprint for fingerprint, _ in keys.values()))


def _key(record: Record) -> _Key:
    data = record.get("provenance", {}).get("data")
    fingerprint = data.get("dataset") if isinstance(data, dict) else None
    n_test = record["metrics"].get("n_test")
    return str(fingerprint or ""), n_test if isinstance(n_test, int) else None


def _names(dataset: str, found: Mapping[_Key, int]) -> dict[_Key, str]:
    """One name per version; a record without a fingerprint belongs to the only one of its size."""
    known = [key for key in found if key[0]]
    joined = {key: _only_of_size(key, known) if not key[0] else key for key in found}
    versions = sorted(set(joined.values()), key=str)
    if len(versions) == 1:
        return dict.fromkeys(found, dataset)
    fingerprints = {fingerprint for fingerprint, _ in versions}
    by_size = len(fingerprints) == 1 or len(fingerprints) < len(versions)
    return {key: f"{dataset} ({_version(joined[key], by_size)})" for key in found}


def _only_of_size(key: _Key, known: list[_Key]) -> _Key:
    alike = [other for other in known if other[1] == key[1]]
    return alike[0] if len(alike) == 1 else key


def _version(key: _Key, by_size: bool) -> str:
    fingerprint, n_test = key
    words = [f"data {fingerprint[:_SHORT]}"] if fingerprint else ["unknown data"]
    if by_size:
        words.append("test images not counted" if n_test is None else f"{n_test:,} test images")
    return ", ".join(words)
