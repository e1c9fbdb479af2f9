"""Show what a store takes on disk and what of it may go; clean it.

python -m hpc_xfer.store --store runs
python -m hpc_xfer.store clean --store runs --dry-run

A command in a folder: a file `store.py` would have the name of this package.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpc_xfer import cli
from hpc_xfer.config.site import load_site
from hpc_xfer.disk_usage import usage_tables
from hpc_xfer.disk_usage.cleaning import Cleaned, clean
from hpc_xfer.disk_usage.usage import StoreUsage, look_at
from hpc_xfer.errors import StoreError
from hpc_xfer.store.launched_study import load_in_store, plan_in_store
from hpc_xfer.store.ownership import launch_lock
from hpc_xfer.store.rehearsal_store import rehearsal_stores
from hpc_xfer.store.store import Store
from hpc_xfer.system import terminal

_CLEAN = "clean"


def main(argv: Sequence[str] | None = None) -> int:
    args, is_clean, grid = _parse(argv)
    site = load_site(args.site)
    store = cli.store_of(args.store, site)
    if not store.root.is_dir():
        raise StoreError(f"{store.root}: this store does not exist; {_way_out(store)}")
    if not (store.runs.is_dir() or store.all_studies.is_dir()):
        raise StoreError(
            f"{store.root}: this is not a store: it has neither runs/ nor studies/; name another "
            "--store"
        )
    study = None if grid is None else load_in_store(grid, store)
    plan = None if study is None else plan_in_store(study, store)
    asked = frozenset(run.id for run in plan.runs) if plan else frozenset()
    if is_clean and not args.dry_run:
        store.check()
        with launch_lock.held(store, _waiting):  # else a launch might use what goes
            usage = look_at(store, site.slurm)
            return _tell(clean(store, usage.may_go), usage, args)
    usage = look_at(store, site.slurm, asked)
    if is_clean:
        planned = [(each.what, each.size) for each in usage.may_go if not each.kept]
        return _tell(Cleaned(planned), usage, args)
    if args.json:
        of_runs = usage.measured.of_runs.as_json()
        of_study = {} if study is None else {"study": study.name, "of_study": of_runs}
        cli.say_json({"schema": 1, **usage.as_json(), **of_study})
        return 0
    usage_tables.show(usage, terminal.console(), study.name if study else "")
    terminal.say(*usage_tables.notes(usage, shlex.join(cli.again_in_store(args))))
    return 0


def _way_out(store: Store) -> str:
    """Say what to do where there is no store; rehearsals alone may lie beside it."""
    if rehearsals := rehearsal_stores(store):
        what = terminal.counted(len(rehearsals), "rehearsal")
        return f"beside it: {what}, as {rehearsals[-1]}; remove what has ended yourself"
    return "launch a study, or name another --store"


def _tell(cleaned: Cleaned, usage: StoreUsage, args: argparse.Namespace) -> int:
    """Say what was, or would be, removed; return the exit code."""
    if args.json:
        used = usage.used.sentence()
        content = {"schema": 1, "dry_run": args.dry_run, **cleaned.as_json(), "in_use": used}
        cli.say_json(content)
        return 1 if cleaned.errors else 0
    if sentence := usage.used.sentence():
        terminal.say(f"{sentence}; what they use stays")
    terminal.say(*usage_tables.told(cleaned, args.dry_run))
    terminal.say(*cleaned.errors, stderr=True)
    return 1 if cleaned.errors else 0


def _waiting(holder: dict[str, Any]) -> None:
    terminal.say(launch_lock.waiting_sentence(holder), stderr=True)


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, bool, Path | None]:
    """Return the arguments, whether to clean, and the grid if one is given."""
    parser = cli.parser(
        "store",
        "Show what a store takes on disk: bytes and number of files by kind, and what may go. "
        "`clean` removes caches, code that no job runs, checkpoints and working files of finished "
        "runs, and what is left of runs that no study names. It never removes a record, an encoder "
        "or what a live job uses.",
        "python -m hpc_xfer.store clean --store runs --dry-run",
    )
    parser.usage = (parser.usage or "").replace("[options]", "[options] [clean | GRID]", 1)
    parser.add_argument(
        "words", nargs="*", metavar="clean | GRID",
        help="clean: remove what may go; GRID: a study file, whose runs are also counted alone",
    )  # fmt: skip
    cli.add_store_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what `clean` would remove")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    grids = [word for word in args.words if word != _CLEAN]
    if len(grids) > 1:
        parser.error(f"give one study file, not {len(grids)}")
    is_clean = _CLEAN in args.words
    if grids and Path(grids[0]).is_dir():
        parser.error(f"{grids[0]} is a folder; write --store {shlex.quote(grids[0])} for a store")
    if is_clean and grids:
        parser.error(f"clean is for all studies of the store: leave out {grids[0]}")
    if grids and not Path(grids[0]).exists():
        parser.error(f"there is no study file {grids[0]}{cli.nearest(grids, [_CLEAN])}")
    if args.dry_run and not is_clean:
        parser.error("--dry-run goes with clean")
    return args, is_clean, Path(grids[0]) if grids else None


if __name__ == "__main__":
    cli.exit_with(main)
