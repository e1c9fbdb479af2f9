"""Check that all runs of a data set were tested on the same images; tell apart what differs.

The record of a run names the fingerprint of its data set and the number of test images. Where the
records of a data set disagree, each version is a data set of its own in all tables, so nothing is
averaged or compared across them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from hpc_xfer.results.cells import Record, trial_recipe
from hpc_xfer.study.plan import Run

TestKey = tuple[str, int | None]  # fingerprint ("" where a record names none), test images
_SHORT = 8  # digits of a fingerprint in a name


@dataclass(frozen=True)
class TestSets:
    """The name under which each run of one data set takes part."""

    keys: Mapping[str, TestKey]  # run id -> key
    names: Mapping[TestKey, str]  # where tables tell versions of the data set apart

    __test__ = False  # pytest: this is no test

    def name(self, run: Run) -> str:
        """Name of the data set of a run in tables; its own name where it has no record."""
        dataset = trial_recipe(run).dataset
        key = self.keys.get(run.id)
        return dataset if key is None else self.names.get(key, dataset)

    def agree(self, runs: Iterable[Run]) -> bool:
        """True where the finished ones of these runs were tested on the same images."""
        return len({self.name(run) for run in runs if run.id in self.keys}) <= 1


def tested_on(record: Record) -> TestKey:
    """Read which test images a run had."""
    data = record.get("provenance", {}).get("data")
    fingerprint = data.get("dataset") if isinstance(data, dict) else None
    n_test = record["metrics"].get("n_test")
    return str(fingerprint or ""), n_test if isinstance(n_test, int) else None


def version_names(dataset: str, found: Collection[TestKey]) -> dict[TestKey, str]:
    """Name the versions of a data set; empty where there is one.

    A record without a fingerprint belongs to the only version of its size, and one without a
    number of test images to the only version of its fingerprint, or the only one at all.
    """
    whole = [key for key in found if all(key)]
    known = {key: key if all(key) else _only(whole, key) for key in found if key[1] is not None}
    others = list(dict.fromkeys(known.values()))
    joined = {key: known.get(key) or _only(others, key) for key in found}
    versions = sorted(set(joined.values()), key=str)
    if len(versions) < 2:
        return {}
    fingerprints = {fingerprint for fingerprint, _ in versions}
    by_size = len(fingerprints) == 1 or len(fingerprints) < len(versions)
    return {key: f"{dataset} ({_version(joined[key], by_size)})" for key in found}


def _only(versions: list[TestKey], key: TestKey) -> TestKey:
    """The only version that agrees with a key in what the key says, else the key."""
    alike = [
        version
        for version in versions
        if key[0] in ("", version[0]) and key[1] in (None, version[1])
    ]
    return alike[0] if len(alike) == 1 else key


def _version(key: TestKey, by_size: bool) -> str:
    fingerprint, n_test = key
    words = [f"data {fingerprint[:_SHORT]}"] if fingerprint else ["unknown data"]
    if by_size:
        words.append("test images not counted" if n_test is None else f"{n_test:,} test images")
    return ", ".join(words)
