"""Name the encoders of imported results, beside those of the study itself."""

from collections.abc import Iterable, Mapping, Sequence

from hpc_xfer.config.schema import nearest
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.imported.imported_result import ENCODER, ImportedResult, Settings
from hpc_xfer.study.labels import name_settings
from hpc_xfer.study.study_facts import StudyFacts

IMPORTED = " (imported)"  # ends the name of what is not the study's own under the same name
Named = tuple[str, Settings]  # label as stated and settings of an imported result
_SETTINGS = ENCODER[1:]


def name_encoders(
    results: Sequence[ImportedResult], own: Iterable[EncoderInfo], facts: StudyFacts
) -> tuple[dict[Named, EncoderInfo], list[str]]:
    """Give every imported encoder its columns; also return a sentence per error.

    A stated label is kept, and is that of the study's own encoder if that has the same label and
    settings. An encoder without a label is named as the study's are, and is never one of them.
    """
    first: dict[Named, ImportedResult] = {}
    for result in results:
        first.setdefault((result.label, result.settings), result)
    stated = [result for (label, _), result in first.items() if label]
    unnamed = [result for (label, _), result in first.items() if not label]
    mine = {encoder.label: encoder for encoder in own}
    wrong = [*_without_settings(stated, mine), *_without_settings(unnamed, {})]
    wrong += [*_clashes(stated, mine)]
    labels = _labels(unnamed, {*mine, *(result.label for result in stated)})
    found = {}
    for key, result in first.items():
        label = result.label or labels[result.settings]
        found[key] = mine.get(label) or _encoder(label, result, facts)
    return found, wrong


def _without_settings(
    results: Iterable[ImportedResult], mine: Mapping[str, EncoderInfo]
) -> Iterable[str]:
    """Refuse an encoder that nothing describes."""
    for result in results:
        lacks = [name for name in ("method", "arch") if not getattr(result, name)]
        if lacks and result.label not in mine:
            way = "give it a value"
            if result.label and mine:
                hint = nearest(result.label, mine, "it has")
                way = f"the study has no encoder {result.label!r} ({hint}), so {way}"
            elif result.label:
                way = f"the study has no encoder {result.label!r}, so {way}"
            yield f"{result.place}: {lacks[0]}: is empty; {way}"


def _clashes(results: Iterable[ImportedResult], mine: Mapping[str, EncoderInfo]) -> Iterable[str]:
    """Refuse a label that stands for two encoders."""
    first: dict[str, ImportedResult] = {}
    for result in results:
        own, other = mine.get(result.label), first.setdefault(result.label, result)
        for name in _SETTINGS:
            value = getattr(result, name)
            if own is not None and value and value != getattr(own, name):
                whose, known = "the study's own encoder", getattr(own, name)
            elif own is None and value != getattr(other, name):
                whose, known = other.place, getattr(other, name)
            else:
                continue
            yield (
                f"{result.place}: label: {result.label!r} has {name} {value or 'empty'} here and "
                f"{known or 'empty'} in {whose}; use two labels"
            )
            break


def _labels(unnamed: Sequence[ImportedResult], taken: set[str]) -> dict[Settings, str]:
    """Name encoders by their settings; a name that is taken gets an addition."""
    columns = {
        result.settings: {
            name: value
            for name, value in zip(_SETTINGS, result.settings, strict=True)
            if value not in ("", None)
        }
        for result in unnamed
    }
    labels = name_settings(columns)
    for settings, label in labels.items():
        while label in taken:
            label += IMPORTED
        labels[settings] = label
    return labels


def _encoder(label: str, result: ImportedResult, facts: StudyFacts) -> EncoderInfo:
    return EncoderInfo(
        label=label,
        method=result.method,
        arch=result.arch,
        source=result.source,
        samples=result.samples,
        samples_seen=result.samples_seen,
        snapshot=None,
        curation=facts.curation_of(result.source),
    )
