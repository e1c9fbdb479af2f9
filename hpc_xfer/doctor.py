"""Check whether the cluster is ready for a study, with one short job per kind of resource.

python -m hpc_xfer.doctor grids/size_scaling.yaml --site site.yaml

Nothing of the study runs. Each line names a check, its result, and what to do if it failed.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence

from hpc_xfer import cli
from hpc_xfer.config.resources import spread_over_nodes
from hpc_xfer.config.site import Site, find_site_file, load_site
from hpc_xfer.errors import SlurmError, StudyError
from hpc_xfer.scheduling.checks.check_result import CheckResult, render
from hpc_xfer.scheduling.checks.cluster_check import examine
from hpc_xfer.slurm.nodes.node_cpus import with_cpus
from hpc_xfer.slurm.sbatch import is_installed
from hpc_xfer.store.access.notes import notes_on_folders, shared_sentence
from hpc_xfer.store.finished_costs import make_plan_with_costs, make_plan_without_data
from hpc_xfer.store.launched_study import LaunchedStudy, load_in_store
from hpc_xfer.store.store import Store
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import terminal
from hpc_xfer.system.terminal import counted
from hpc_xfer.system.written_path import absolute

_LONGEST = 10_080  # minutes to wait for the jobs: a week


def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    site_file = find_site_file(args.site)
    site = load_site(args.site)
    store = cli.store_of(args.store, site)
    study = load_in_store(args.grid, store, args.set)
    if not is_installed():
        raise SlurmError("sbatch not found: this is not a login node; run doctor on a login node")
    site = with_cpus(site)
    plan, of_inputs, mistakes = _planned(args, study, site, store)
    launched = LaunchedStudy(study, plan, store, site, site_file and absolute(site_file))
    results: list[CheckResult] = []
    of_cluster = (
        result
        for result in examine(launched, args.wait)  # a node finds mistakes in the inputs again
        if result.well or not any(result.found in mistake for mistake in mistakes)
    )
    try:
        for result in itertools.chain(of_inputs, _permissions(launched), of_cluster):
            results.append(result)
            if not args.json:
                mark = "ok " if result.well else "BAD"
                terminal.say(f"{mark} {result.what}", stderr=True)
    finally:  # after Ctrl-C, and where Slurm did not answer, what was found is told too
        if args.json:
            cli.say_json({"schema": 1, "verdicts": [result.as_json() for result in results]})
        elif results:
            terminal.console().print(render(results))
    return 0 if all(result.well for result in results) else 1


def _planned(
    args: argparse.Namespace, study: Study, site: Site, store: Store
) -> tuple[Plan, list[CheckResult], tuple[str, ...]]:
    """Plan the study; return what is to say of its inputs, and the mistakes in them.

    With mistakes it is planned without its data, so that the cluster is checked all the same.

    Raises:
        StudyError: the study has nothing to launch, or its GPUs do not spread over nodes.
    """
    from hpc_xfer.study.preflight.check_inputs import check_inputs  # --help needs none

    try:
        checked = check_inputs(study, site, "slurm")
    except StudyError as error:
        if not study.pretrains or not _fits_nodes(study, site):
            raise  # no job of it could be written
        first, more = error.sentences[0], len(error.sentences) - 1
        found = f"{first}; and {counted(more, 'other mistake')}" if more else first
        call = f"python -m hpc_xfer.launch {cli.again(args, '--dry-run')}"
        wrong = CheckResult("inputs", False, found, f"correct them; `{call}` lists all")
        return make_plan_without_data(study, site, store), [wrong], error.sentences
    notes = [CheckResult("data", True, note) for note in checked.notes]
    return make_plan_with_costs(study, site, store, "slurm", checked.infos), notes, ()


def _fits_nodes(study: Study, site: Site) -> bool:
    try:
        spread_over_nodes(study.resources.pretrain.gpus, site.slurm.gpus_per_node)
    except ValueError:
        return False
    return True


def _permissions(launched: LaunchedStudy) -> Iterator[CheckResult]:
    """Tell who else can change what lies in the store; what is refused raises in `examine`."""
    if launched.store.trusts_members:
        yield CheckResult("members", True, shared_sentence(launched.store))
    for note in notes_on_folders(launched.store, launched.site_file):
        yield CheckResult("folders above", True, note)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(
        "doctor",
        "Check whether the cluster is ready, with one short job per kind of resource: limits, "
        "disk, acceptance by Slurm, environment, GPUs, data, all-reduce.",
        "python -m hpc_xfer.doctor grids/size_scaling.yaml --site site.yaml",
    )
    cli.add_grid_arguments(parser)
    parser.add_argument(
        "--wait",
        type=float,
        default=15,
        metavar="MINUTES",
        help="for the jobs to start and end (default: 15)",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")
    args = parser.parse_args(argv)
    if not 0 < args.wait <= _LONGEST:  # nan is neither
        parser.error(f"--wait must be above 0 and at most {_LONGEST:,} minutes, got {args.wait:g}")
    return args


if __name__ == "__main__":
    cli.exit_with(main)
