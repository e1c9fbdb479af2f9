"""Take results from elsewhere into a study: they take part in its tables, figures and sentences.

python -m hpc_xfer.import results.csv grids/size_scaling.yaml

The CSV has one row per result and these columns, by name; all others are optional:

dataset, shots, mode, test_top1      needed; shots are images per class, or full
label, or method and arch            needed; the label of an encoder of the study makes them one
source, samples, samples_seen, seed  of the pre-training
draw, val_top1, test_top5, n_test, labels
lr, weight_decay, epochs, batch, l2, k, ...   what was tuned: the best by val_top1 is taken

Without val_top1 the best by test_top1 is taken, and the mode says "selected on test".
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.results.imported.combined import OwnStudy, own_study
from hpc_xfer.results.imported.import_file import ImportReport, remove, take_in
from hpc_xfer.results.parts.all_parts import read_parts
from hpc_xfer.results.parts.record_cache import RecordCache
from hpc_xfer.store.launched_study import load_in_store
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import make_plan
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files
from hpc_xfer.system.terminal import counted, say, say_json


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    store = cli.store_of(args.store, load_site(args.site))
    study = load_in_store(args.grid, store, args.set)
    folder = store.study(study.name)
    if not args.dry_run:
        store.check(study.name)
    if args.remove:
        removed = remove(args.results, folder)
        content = {"schema": 1, "study": study.name, "removed": str(removed)}
        say_json(content) if args.json else say(f"removed {removed}")
        return 0
    if not args.dry_run:
        store.open()
    own = _own(study, store)
    report = take_in(args.results, folder, own, args.percent, args.tuned, args.dry_run)
    if not args.dry_run and not folder.grid.exists():
        atomic_files.write_text(folder.grid, study.text)
    if args.json:
        say_json({"study": study.name, **report.as_json}, sort_keys=True)
    else:
        _print(report, args)
    return 0


def _own(study: Study, store: Store) -> OwnStudy:
    cache = RecordCache.open(store.study(study.name), store.trusts_members)
    return own_study(study.facts, read_parts(make_plan(study), store, cache))


def _print(report: ImportReport, args: argparse.Namespace) -> None:
    say(
        f"results: {report.results:,} in {counted(report.cells, 'cell')} (pre-trainings: "
        f"{len(report.encoders):,}, data sets: {len(report.datasets):,})"
    )
    say(f"pre-trainings: {', '.join(report.encoders)}")
    if report.equal:
        say(f"rows that repeat another one, taken once: {report.equal:,}")
    if report.on_test:
        say(f"cells without val_top1, whose mode says `selected on test`: {report.on_test:,}")
    for name, new in report.renamed.items():
        say(f"{name} has other test images than the study's own; its name here is `{new}`")
    say(*report.new)
    for name, values in report.unused.items():
        say(f"column {name}: kept, but no table uses its values ({values:,}); see --tuned")
    say(f"{report.file} ({report.change})")
    if args.dry_run:
        say("nothing was written, since this is a dry run")
    else:
        say(f"next: python -m hpc_xfer.collect {cli.again(args)}")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "import",
        "Take results from elsewhere, one per row of a CSV, into a study. If a row is wrong, "
        "nothing is taken and every error is named. Importing a file again replaces it.",
        "python -m hpc_xfer.import results.csv grids/size_scaling.yaml",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a CSV, one row per result")
    cli.add_grid_arguments(parser)
    parser.usage = (parser.usage or "").replace("GRID", "RESULTS GRID", 1)
    parser.add_argument("--percent", action="store_true", help="accuracies are percent, not shares")
    parser.add_argument(
        "--tuned", action="append", default=[], metavar="COLUMN",
        help="a further column of tuned values; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--remove", action="store_true", help="remove what was imported under this name"
    )
    parser.add_argument("--dry-run", action="store_true", help="check it, write nothing")
    parser.add_argument("--json", action="store_true", help="for scripts")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli.exit_with(main)
