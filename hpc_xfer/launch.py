"""Launch a study: check it, show the plan, run what is missing, collect, report.

python -m hpc_xfer.launch grids/demo.yaml
"""

import argparse
import contextlib
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpc_xfer import cli, files, names, overview, plan, preflight, provenance, study
from hpc_xfer import site as sites
from hpc_xfer.plan import Plan
from hpc_xfer.store import SCHEMA, Store
from hpc_xfer.study import Study

# Failures that another attempt may heal; the others need a change first, and --retry-failed.
PASSING = ("killed", "store", "out of memory", "CUDA out of memory")


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    site_file = sites.find(args.site)
    site = sites.load(args.site)
    asked = study.load(args.grid)
    preflight.check(asked, site)
    whole = plan.make(asked)
    store = cli.store_of(args.store, site)
    done = store.done(whole)
    left_out = {} if args.retry_failed else _failed_for_good(whole, store, done)
    todo = _without_descendants(whole.without(done), set(left_out))

    if args.dry_run:
        if args.json:
            print(json.dumps(overview.as_json(asked, whole, done), indent=2))
        else:
            cli.console().print(overview.render(asked, whole, done))
        return 0
    if not args.json:
        cli.console(stderr=True).print(overview.render(asked, whole, done))
    for run_id, message in left_out.items():
        print(f"left out: {run_id} failed before ({message}); --retry-failed", file=sys.stderr)

    store.open()
    _prepare(asked, whole, todo, store)
    outcome = _run_here(asked, whole, todo, store, site_file, args.jobs)
    return _finish(asked, whole, store, outcome, left_out, args.json)


def _run_here(
    asked: Study, whole: Plan, todo: Plan, store: Store, site_file: Path | None, jobs: int | None
) -> "Any":
    from hpc_xfer.local import Outcome, Pool

    if not todo.runs:
        return Outcome()
    site_path = site_file.resolve() if site_file else None
    return Pool(whole, todo, store, asked.name, site_path, jobs).run()


def _prepare(asked: Study, whole: Plan, todo: Plan, store: Store) -> None:
    """Everything the workers need, on disk before the first of them starts."""
    folder = store.study(asked.name)
    folder.logs.mkdir(parents=True, exist_ok=True)
    files.write_text(folder.grid, asked.text)
    for run in todo.runs:
        for needed in (*run.parents, run):
            store.write_recipe(needed)
    for wave in todo.waves:
        for pack in wave:
            resources = getattr(asked.resources, pack.kind)
            store.write_pack(asked.name, pack, resources.model_dump(mode="json"))
    _link_boards(whole, store, asked.name)
    content = {"schema": SCHEMA, "study": asked.name, "runs": [run.id for run in whole.runs]}
    files.write_json(folder.plan, content)
    line = {"time": provenance.now(), "host": socket.gethostname(), "pid": os.getpid()}
    line |= {"on": "local", "runs": len(todo.runs), **provenance.code()}
    files.append_line(folder.launches, json.dumps(line, sort_keys=True))


def _link_boards(whole: Plan, store: Store, study_name: str) -> None:
    """Readable names for TensorBoard: studies/<name>/tb/<label>-<run> -> runs/<run>/tb."""
    folder = store.study(study_name).tensorboard
    folder.mkdir(parents=True, exist_ok=True)
    labels = names.pretrain_labels(whole.of("pretrain"))
    for run in whole.of("pretrain"):
        link = folder / f"{labels[run.id].replace(' ', '-').replace('/', '-')}-{run.id}"
        target = os.path.relpath(store.run(run.id).tensorboard, folder)
        if not link.is_symlink():
            with contextlib.suppress(FileExistsError):  # another launch made it just now
                link.symlink_to(target)


def _finish(
    asked: Study,
    whole: Plan,
    store: Store,
    outcome: Any,
    left_out: dict[str, str],
    as_json: bool,
) -> int:
    """Tables, figures and the answer of what is there, also after failures."""
    from hpc_xfer import answer, collect, report

    folder = store.study(asked.name)
    collected = collect.collect(whole, store, folder.summary)
    page = report.write(asked, folder)
    failed = {**left_out, **outcome.failed}
    if as_json:
        told = {
            "study": asked.name, "runs": len(whole.runs), "done": len(store.done(whole)),
            "failed": failed, "blocked": sorted(outcome.blocked),
            "interrupted": outcome.interrupted, "report": str(page), "summary": str(folder.summary),
        }  # fmt: skip
        print(json.dumps(told, indent=2))
    else:
        console = cli.console()
        answer.show(console, collected)
        console.print(f"report: {page}", soft_wrap=True)
    if outcome.interrupted:
        print("interrupted; launching again goes on from here", file=sys.stderr)
    return 1 if failed or outcome.interrupted else 0


def _failed_for_good(whole: Plan, store: Store, done: set[str]) -> dict[str, str]:
    """Runs whose failure another attempt alone would not heal."""
    found = {}
    for run in whole.runs:
        error = files.read_json(store.run(run.id).error) if run.id not in done else None
        if isinstance(error, dict) and error.get("class") not in PASSING:
            found[run.id] = f"{error.get('class')}: {error.get('message')}"
    return found


def _without_descendants(todo: Plan, gone: set[str]) -> Plan:
    blocked = {run.id for run in todo.runs if any(parent.id in gone for parent in run.parents)}
    return todo.without(gone | blocked)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "launch",
        "Run what a study still needs, then collect and report. Launching twice does nothing the "
        "second time; launching again after a failure goes on.",
        "python -m hpc_xfer.launch grids/demo.yaml --site grids/demo.site.yaml --dry-run",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument(
        "--on", choices=["local"], default="local", help="where to run (default: this machine)"
    )
    parser.add_argument("--jobs", type=int, help="runs at once (default: one per GPU, else core)")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    parser.add_argument("--retry-failed", action="store_true", help="also runs that failed before")
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    if args.jobs is not None and args.jobs < 1:
        parser.error(f"--jobs must be 1 or more, got {args.jobs}")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
