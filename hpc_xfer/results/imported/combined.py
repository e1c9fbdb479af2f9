"""Bring the imported results of a study together with what the study itself measures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpc_xfer.config.schema import nearest
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.imported.imported_encoders import IMPORTED, name_encoders
from hpc_xfer.results.imported.imported_result import COUNTS, SHARES, ImportedResult
from hpc_xfer.results.parts.all_parts import Parts
from hpc_xfer.study.study_facts import StudyFacts

CellKey = tuple[str, tuple[str, str, str, str, str]]  # label; then the fields of CELL


@dataclass(frozen=True)
class OwnStudy:
    """The encoders, cells and test images of the study, with which imported results must agree."""

    encoders: tuple[EncoderInfo, ...]
    facts: StudyFacts
    cells: frozenset[CellKey]  # planned
    n_test: Mapping[str, frozenset[int]]  # of each data set, by its records


@dataclass(frozen=True)
class Combined:
    """Imported results with their encoders, each once, and a sentence per error."""

    results: tuple[tuple[EncoderInfo, ImportedResult], ...]
    datasets: Mapping[str, str]  # name in the file -> name in the tables
    equal: int  # results left out, since they repeat another one
    wrong: tuple[str, ...]


def own_study(facts: StudyFacts, parts: Parts) -> OwnStudy:
    """Gather what `combine` compares to.

    Args:
        facts: of the study.
        parts: all it has planned, with its finished runs.
    """
    tests: dict[str, set[int]] = {}
    for each in parts.all:
        names = dict(each.part.versions)
        for key in each.part.tests:
            if key[1] is not None:
                tests.setdefault(names.get(key, each.dataset), set()).add(key[1])
    return OwnStudy(
        encoders=tuple(dict.fromkeys(parts.names.encoders.values())),
        facts=facts,
        cells=frozenset(
            (s.encoder.label, (s.pretrain_seed, s.dataset, s.shots, s.draw, s.mode))
            for s in parts.scores
        ),
        n_test={dataset: frozenset(found) for dataset, found in tests.items()},
    )


def combine(results: Sequence[ImportedResult], own: OwnStudy) -> Combined:
    """Name encoders and data sets, take equal results once, and find what contradicts."""
    encoders, wrong = name_encoders(results, own.encoders, own.facts)
    kept, equal, contradictions = _once([(encoders[r.named], r) for r in results])
    measured = [
        f"{result.place}: the study itself measures this cell ({encoder.label} on "
        f"{result.dataset}, {result.shots} shots, {result.mode}); remove the row, or use another "
        "label"
        for encoder, result in kept
        if (encoder.label, result.cell) in own.cells
    ]
    return Combined(
        results=tuple(kept),
        datasets=_datasets(results, own.n_test),
        equal=equal,
        wrong=(*wrong, *contradictions, *measured, *_unequal_tests(results)),
    )


def names_new_to(own: OwnStudy, results: Iterable[ImportedResult]) -> list[str]:
    """Say which data sets and modes the study itself does not have: one may be a slip."""
    results = list(results)
    ours = [place for _, place in own.cells]
    names = {
        "data set": ({place[1] for place in ours}, [result.dataset for result in results]),
        "mode": ({place[4] for place in ours}, [result.mode for result in results]),
    }
    return [
        f"the study itself has no {thing} {name}; {nearest(name, known, f'its {thing}s are')}"
        for thing, (known, used) in names.items()
        for name in dict.fromkeys(used)
        if known and name not in known
    ]


def _once(
    pairs: Iterable[tuple[EncoderInfo, ImportedResult]],
) -> tuple[list[tuple[EncoderInfo, ImportedResult]], int, list[str]]:
    """Take equal results once; also count those left out, and describe contradictions."""
    first: dict[tuple[object, ...], tuple[EncoderInfo, ImportedResult]] = {}
    equal, wrong = 0, []
    for encoder, result in pairs:
        _, other = first.setdefault((encoder, result.cell, result.tuned), (encoder, result))
        if other is result:
            continue
        differ = [n for n in (*SHARES, *COUNTS) if getattr(other, n) != getattr(result, n)]
        if not differ:
            equal += 1
            continue
        wrong.append(
            f"{result.place}: {differ[0]}: {_said(result, differ[0])} contradicts "
            f"{_said(other, differ[0])} of {other.place} for the same encoder, cell and tuned "
            "values; remove one, or tell them apart by a column that --tuned names"
        )
    return list(first.values()), equal, wrong


def _said(result: ImportedResult, name: str) -> str:
    value = getattr(result, name)
    return "nothing" if value is None else f"{value:g}"


def _datasets(
    results: Iterable[ImportedResult], own: Mapping[str, frozenset[int]]
) -> dict[str, str]:
    """Rename a data set whose number of test images is not that of the study's own."""
    counts: dict[str, set[int]] = {}
    for result in results:
        found = counts.setdefault(result.dataset, set())
        if result.n_test is not None:
            found.add(result.n_test)
    return {
        dataset: dataset if dataset not in own or found <= own[dataset] else dataset + IMPORTED
        for dataset, found in counts.items()
    }


def _unequal_tests(results: Iterable[ImportedResult]) -> Iterable[str]:
    """Refuse two numbers of test images for one data set and shot count."""
    first: dict[tuple[str, str], ImportedResult] = {}
    for result in results:
        if result.n_test is None:
            continue
        other = first.setdefault((result.dataset, result.shots), result)
        if other.n_test != result.n_test:
            yield (
                f"{result.place}: n_test: {result.n_test:,} differs from {other.n_test:,} of "
                f"{other.place} for {result.dataset} at {result.shots} shots; different test sets "
                "need different names"
            )
