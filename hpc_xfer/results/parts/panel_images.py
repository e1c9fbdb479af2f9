"""Image covariances of each panel, from the cache where its files are as before.

A panel's state stands for its parts and for the hits of its chosen runs, so for every number in it.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpc_xfer.results.panels import PanelKey
from hpc_xfer.results.parts.all_parts import Parts, PlacedPart
from hpc_xfer.results.parts.record_cache import RecordCache, key_of, stat_of
from hpc_xfer.results.test_images import HitsFile, ImageCovariance, TestImages, read_test_images
from hpc_xfer.store.paths import HITS
from hpc_xfer.store.store import Store


@dataclass(frozen=True)
class PanelImages:
    """Image covariances of all panels."""

    images: TestImages
    states: Mapping[PanelKey, str]


def panel_images(parts: Parts, store: Store, cache: RecordCache) -> PanelImages:
    """Read the hits of all chosen runs."""
    panels: dict[PanelKey, ImageCovariance] = {}
    unusable: list[tuple[Path, str]] = []
    states: dict[PanelKey, str] = {}
    for key, placed in parts.of_panels.items():
        files = _hits_files(key, placed, os.fspath(store.runs))
        stats = [stat_of(file.path) for own in files.values() for file in own]
        states[key] = key_of("panel", key, [each.state for each in placed], stats)

        told = cache.get("panels", states[key])
        if told is None:
            told = _as_json(read_test_images({key: files}), key)
            cache.put("panels", states[key], told)
        unusable += [(Path(path), why) for path, why in told["unusable"]]
        if told["labels"]:
            panels[key] = _covariance(told)
    return PanelImages(TestImages(panels, tuple(unusable)), states)


def _hits_files(
    key: PanelKey, placed: Sequence[PlacedPart], runs: str
) -> dict[str, list[HitsFile]]:
    """Label -> the hits of the chosen values."""
    found: dict[str, list[HitsFile]] = {}
    mode, dataset, _ = key
    for each in placed:
        for score, chosen in zip(each.scores, each.part.hits, strict=True):
            if chosen is None or score.test_top1 is None or not score.n_test:
                continue
            if (score.mode, score.dataset) == (mode, dataset):
                path = f"{runs}/{chosen[0]}/{HITS}"
                file = HitsFile(path, chosen[1], score.n_test, score.test_top1)
                found.setdefault(each.encoder.label, []).append(file)
    return found


def _as_json(images: TestImages, key: PanelKey) -> dict[str, Any]:
    found = images.panels.get(key)
    return {
        "labels": [] if found is None else list(found.labels),
        "matrix": "" if found is None else base64.b64encode(found.matrix.tobytes()).decode(),
        "unusable": [(str(path), why) for path, why in images.unusable],
    }


def _covariance(told: Mapping[str, Any]) -> ImageCovariance:
    import numpy

    labels = {label: i for i, label in enumerate(told["labels"])}
    matrix = numpy.frombuffer(base64.b64decode(told["matrix"]), dtype=numpy.float64)
    return ImageCovariance(labels, matrix.reshape(len(labels), len(labels)))
