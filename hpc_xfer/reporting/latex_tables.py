"""LaTeX of the accuracy tables, for \\input in a paper that loads booktabs.

One file per mode: `table_lp.tex` has the mean over data sets, `table_lp_DATASET.tex` a data set.
"""

from collections.abc import Sequence
from pathlib import Path

from hpc_xfer.reporting.accuracy_matrix import half_interval
from hpc_xfer.reporting.charts.tables import datasets_of, encoders_of, shot_axis
from hpc_xfer.reporting.charts.words import COVERS, file_name
from hpc_xfer.results.answers.terms import dataset_words, mode_words, shots_text
from hpc_xfer.results.averages import Average
from hpc_xfer.results.encoder_info import EncoderInfo
from hpc_xfer.system import atomic_files
from hpc_xfer.system.screen.plain_text import plain

_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "\"": r"\textquotedbl{}",
    "\N{MINUS SIGN}": r"$-$", "±": r"$\pm$", "→": r"$\to$", "…": r"\dots{}",
}  # fmt: skip


def write(averages: Sequence[Average], folder: Path) -> list[Path]:
    """Write one file per mode and data set.

    Raises:
        StoreError: the folder cannot be written.
    """
    paths: list[Path] = []
    for mode in dict.fromkeys(a.mode for a in averages):
        here = [a for a in averages if a.mode == mode and a.encoder.snapshot is None]
        for i, dataset in enumerate(datasets_of(here)):
            name = file_name("table", mode, dataset if i else "")
            path = folder / f"{name}.tex"
            if path in paths:
                path = folder / f"{name}-{i}.tex"
            rows = [a for a in here if a.dataset == dataset]
            atomic_files.write_text(path, accuracy_table(mode, dataset, rows))
            paths.append(path)
    return paths


def accuracy_table(mode: str, dataset: str, averages: Sequence[Average]) -> str:
    """Return a table of labels by shots: mean and half of the 95% interval, in percent."""
    shots = shot_axis(averages)
    cells = {(a.encoder, a.shots): a for a in averages}
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escaped(_caption(mode, dataset, averages))}}}",
        rf"  \label{{tab:{file_name(mode, dataset)}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(shots)}}}",
        r"    \toprule",
        "    " + " & ".join(["Pre-training", *map(shots_text, shots)]) + r" \\",
        r"    \midrule",
        *(f"    {_row(encoder, shots, cells)}" for encoder in encoders_of(averages)),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that LaTeX prints as it is.

    `[` and `*` after the end of a row would be options of it.
    """
    words = plain(" ".join(text.split()))
    return "{}" * words.startswith(("[", "*")) + "".join(_ESCAPED.get(c, c) for c in words)


def _row(
    encoder: EncoderInfo,
    shots: Sequence[str],
    cells: dict[tuple[EncoderInfo, str], Average],
) -> str:
    values = [_cell(cells.get((encoder, name))) for name in shots]
    return " & ".join([escaped(encoder.label), *values]) + r" \\"


def _cell(average: Average | None) -> str:
    if average is None or average.interval is None:
        return "--"
    half = half_interval(average)
    spread = "" if half is None else rf" $\pm$ {100 * half:.1f}"
    return f"{100 * average.interval.mean:.1f}{spread}{'*' if average.missing else ''}"


def _caption(mode: str, dataset: str, averages: Sequence[Average]) -> str:
    words = [f"Test accuracy (%), {dataset_words(dataset)}, {mode_words(mode)}."]
    measured = [a for a in averages if half_interval(a) is not None]
    if measured:
        targets = [COVERS[t] for t in sorted({a.target for a in measured}) if t in COVERS]
        over = f" over {'; '.join(targets)}" if targets else ""
        words.append(f"± is half of a 95% interval{over}; without it there is no interval.")
    if any(a.missing for a in averages):
        words.append("* averages fewer cells than planned.")
    left_out = dict.fromkeys(a.left_out for a in averages if a.left_out)
    if left_out:
        words.append(f"The mean leaves out {'; '.join(left_out)}.")
    return " ".join(words)
