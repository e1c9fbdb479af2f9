"""Panels: the scores of one mode, data set and shot count, as a table of seeds by draws per label.

All comparisons are made within a panel, or between panels of several data sets.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.results.estimators.crossed import Values, crossed
from hpc_xfer.results.estimators.estimate import Estimate
from hpc_xfer.results.estimators.family import Family
from hpc_xfer.results.estimators.over_sets import OverSets, mean_over_sets
from hpc_xfer.results.scores import Score

PanelKey = tuple[str, str, str]  # mode, data set, shots


@dataclass
class Panel:
    """Test accuracies of all labels in one mode, data set and shot count."""

    tables: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)  # label -> cells without a result
    draws: dict[str, set[str]] = field(default_factory=dict)  # label -> planned ones
    labels_used: dict[str, set[int]] = field(default_factory=dict)  # images with labels, per draw
    n_test: int | None = None
    version_of: str = ""  # the data set that this is a version of

    def found(self) -> dict[str, Values]:
        """The labels that have values."""
        return {label: values for label, values in self.tables.items() if values}

    def lacks_draws(self, label: str) -> bool:
        """True where a planned draw has no result, of whatever seed."""
        return not self.draws[label] <= {draw for _, draw in self.tables[label]}


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
    draws: dict[PanelKey, dict[str, set[str]]] = {}  # planned, whatever version they were tested on
    encoders: dict[str, EncoderInfo] = {}
    for score in scores:
        label = score.encoder.label
        encoders.setdefault(label, score.encoder)
        planned = draws.setdefault((score.mode, score.version_of or score.dataset, score.shots), {})
        planned.setdefault(label, set()).add(score.draw)
        panel = panels.setdefault((score.mode, score.dataset, score.shots), Panel(draws=planned))
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


@dataclass
class PanelMeans:
    """Means of labels over all draws that are planned for them.

    A draw that a label lacks may be a lucky one, so it is filled from the other labels of the
    panel. Without such draws nothing but the values of the label counts.
    """

    panels: Panels
    _families: dict[tuple[object, ...], Family | OverSets] = field(default_factory=dict)

    def of_set(self, key: PanelKey, label: str) -> Estimate:
        """Mean on one data set; the label must have a value there."""
        panel, matter = self.panels.panels[key], draws_matter(key[2])
        if not panel.lacks_draws(label):
            return crossed(panel.tables[label], matter)
        if key not in self._families:
            self._families[key] = Family.of(panel.found(), matter)
        family = self._families[key]
        assert isinstance(family, Family)
        return family.mean(label, panel.draws[label])

    def over_sets(self, keys: Sequence[PanelKey], label: str, labels: Sequence[str]) -> Estimate:
        """Mean over data sets; all labels must have values on each."""
        panels, matter = [self.panels.panels[key] for key in keys], draws_matter(keys[0][2])
        if not any(panel.lacks_draws(label) for panel in panels):
            return mean_over_sets([panel.tables[label] for panel in panels], matter)
        place = (*keys, *labels)
        if place not in self._families:
            tables = [{name: panel.tables[name] for name in labels} for panel in panels]
            self._families[place] = OverSets.of(tables, matter)
        family = self._families[place]
        assert isinstance(family, OverSets)
        return family.mean(label, [panel.draws[label] for panel in panels])


def draws_matter(shots: str) -> bool:
    """False at full data, where every draw trains on the same images, and at zero shots."""
    return shots not in ("full", "0")
