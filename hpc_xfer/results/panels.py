"""Panels: the scores of one mode, data set and shot count, as a table of seeds by draws per label.

All comparisons are made within a panel, or between panels of several data sets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.estimators.crossed import Values
from hpc_xfer.results.scores import Score

PanelKey = tuple[str, str, str]  # mode, data set, shots


@dataclass
class Panel:
    """Test accuracies of all labels in one mode, data set and shot count."""

    tables: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)  # label -> cells without a result
    labels_used: dict[str, set[int]] = field(default_factory=dict)  # images with labels, per draw
    n_test: int | None = None
    version_of: str = ""  # the data set that this is a version of

    def found(self) -> dict[str, Values]:
        """The labels that have values."""
        return {label: values for label, values in self.tables.items() if values}


@dataclass(frozen=True)
class Panels:
    """All panels of a study, in the order of its plan."""

    panels: Mapping[PanelKey, Panel]
    encoders: Mapping[str, EncoderInfo]  # label -> encoder
    states: Mapping[PanelKey, str] = field(default_factory=dict)  # each stands for a whole panel

    @property
    def modes(self) -> list[str]:
        return list(dict.fromkeys(mode for mode, _, _ in self.panels))

    def datasets(self, mode: str) -> list[str]:
        return list(dict.fromkeys(name for own, name, _ in self.panels if own == mode))

    def shots(self, mode: str) -> list[str]:
        return list(dict.fromkeys(shots for own, _, shots in self.panels if own == mode))

    def at(self, mode: str, shots: str) -> dict[str, Panel]:
        """Data set -> panel, for one mode and shot count."""
        return {
            name: panel
            for (own, name, number), panel in self.panels.items()
            if (own, number) == (mode, shots)
        }


def panels_of(scores: Iterable[Score], states: Mapping[PanelKey, str] | None = None) -> Panels:
    """Sort scores into panels; a cell without a result counts as missing.

    Args:
        scores: one per cell.
        states: stand for panels, with what is known of their test images, in keys of the cache.
    """
    panels: dict[PanelKey, Panel] = {}
    encoders: dict[str, EncoderInfo] = {}
    for score in scores:
        label = score.encoder.label
        encoders.setdefault(label, score.encoder)
        panel = panels.setdefault((score.mode, score.dataset, score.shots), Panel())
        panel.version_of = score.version_of
        values = panel.tables.setdefault(label, {})
        panel.missing.setdefault(label, 0)
        if score.test_top1 is None:
            panel.missing[label] += 1
            continue
        values[score.pretrain_seed, score.draw] = score.test_top1
        panel.n_test = score.n_test if panel.n_test is None else panel.n_test
        if score.labels is not None:
            panel.labels_used.setdefault(label, set()).add(score.labels)
    return Panels(panels, encoders, states or {})


def draws_matter(shots: str) -> bool:
    """False at full data: every draw trains on the same images."""
    return shots != "full"
