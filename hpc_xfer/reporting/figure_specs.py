"""The figures of a study: what each one shows, and its title and caption. No drawing here.

A new figure is one function here, called by `figure_specs`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hpc_xfer.reporting import figure_data
from hpc_xfer.reporting.figure_data import Curve, Size, Style
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo

_HOLLOW = " A hollow point averages fewer cells than planned (see missing.csv)."


@dataclass(frozen=True)
class FigureSpec:
    """One figure, with a panel per data set."""

    name: str  # of its files
    title: str
    text: str
    averages: Sequence[Average]  # shares; differences of shares where `zero`
    curves: Callable[[Sequence[Average]], list[Curve]]  # of the averages of one panel
    ylabel: str
    zero: bool = False  # a line at 0, for differences
    xlabel: str = "shots per class"
    sizes: Sequence[int] = ()  # of pre-training, where they are the axis; else shots are

    @property
    def caption(self) -> str:
        return self.text + (_HOLLOW if any(a.missing for a in self.averages) else "")


def figure_specs(
    averages: Sequence[Average], differences: Sequence[Average]
) -> Iterator[FigureSpec]:
    """List the figures that the averages allow, mode after mode.

    Accuracy and gain over shots, accuracy over the size of the pre-training and, where it left
    snapshots, over the samples it had seen.
    """
    styles = figure_data.curve_styles(figure_data.at_end(averages))
    for mode in dict.fromkeys(average.mode for average in averages):
        measured = [a for a in averages if a.mode == mode and a.interval]
        gains = [a for a in differences if a.mode == mode and a.interval]
        yield from _accuracy(mode, figure_data.at_end(measured), styles)
        yield from _gain(mode, figure_data.at_end(gains), styles)
        yield from _size(mode, measured)
        yield from _samples_seen(mode, measured)


def _accuracy(
    mode: str, averages: Sequence[Average], styles: dict[EncoderInfo, Style]
) -> Iterator[FigureSpec]:
    if averages:
        yield FigureSpec(
            name=_file_name("accuracy", mode),
            title=f"Accuracy over shots ({mode})",
            text="Test accuracy over shots. Bars are 95% intervals over draws, or over "
            "pre-training seeds where a label has several; a point without a bar is a single "
            "value.",
            averages=averages,
            curves=lambda panel: figure_data.curves_over_shots(panel, averages, styles),
            ylabel="test accuracy (%)",
        )


def _gain(
    mode: str, differences: Sequence[Average], styles: dict[EncoderInfo, Style]
) -> Iterator[FigureSpec]:
    if differences:
        yield FigureSpec(
            name=_file_name("gain", mode),
            title=f"Gain over scratch ({mode})",
            text="Test accuracy minus that of training from scratch on the same images, draw by "
            "draw. A bar that crosses 0 means no clear difference.",
            averages=differences,
            curves=lambda panel: figure_data.curves_over_shots(panel, differences, styles),
            ylabel="gain over scratch (points)",
            zero=True,
        )


def _size(mode: str, averages: Sequence[Average]) -> Iterator[FigureSpec]:
    for name, group in figure_data.size_series(averages).items():
        yield _over_size(
            group,
            size=figure_data.samples,
            name=_file_name("size", mode, name),
            title=f"Accuracy over pre-training size: {name} ({mode})",
            text="Test accuracy over the number of pre-training samples, with 95% intervals.",
            xlabel="pre-training samples",
        )


def _samples_seen(mode: str, averages: Sequence[Average]) -> Iterator[FigureSpec]:
    for name, group in figure_data.snapshot_series(averages).items():
        yield _over_size(
            group,
            size=figure_data.samples_seen,
            name=_file_name("seen", mode, name),
            title=f"Accuracy over samples seen: {name} ({mode})",
            text="Test accuracy from snapshots of one pre-training over the samples it had seen, "
            "with 95% intervals; the last point is its end. A snapshot is taken before the "
            "learning rate has come down, so a run that was meant to end there may be better.",
            xlabel="samples seen",
        )


def _over_size(
    averages: Sequence[Average], size: Size, name: str, title: str, text: str, xlabel: str
) -> FigureSpec:
    return FigureSpec(
        name=name,
        title=title,
        text=text,
        averages=averages,
        curves=lambda panel: figure_data.curves_over_size(panel, averages, size),
        ylabel="test accuracy (%)",
        xlabel=xlabel,
        sizes=figure_data.sizes(averages, size),
    )


def _file_name(*parts: str) -> str:
    return "_".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)
