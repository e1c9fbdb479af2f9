"""Check sources, data sets and released files before anything runs.

    checked = check_inputs(study, site, "slurm")
    checked.infos["dtd"], checked.notes

The checks are cheap: they read indexes and compare file sizes, and decode no image.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpc_xfer.config.downstream_datasets import DatasetInfo
from hpc_xfer.config.resources import spread_over_nodes
from hpc_xfer.config.schema import ConfigError
from hpc_xfer.config.shard_index import ShardIndex
from hpc_xfer.config.site import Site
from hpc_xfer.errors import StudyError
from hpc_xfer.study.plan import Plan
from hpc_xfer.study.preflight.batch_checks import batch_errors
from hpc_xfer.study.preflight.dataset_checks import dataset_errors, dataset_notes, probe_errors
from hpc_xfer.study.preflight.part_to_run import part_to_run, unchecked_note
from hpc_xfer.study.preflight.source_checks import source_errors, source_notes
from hpc_xfer.study.preflight.weight_checks import weight_errors, weight_notes
from hpc_xfer.study.study_file import Study


@dataclass(frozen=True)
class CheckedInputs:
    """Data sets of a study and notes on all that it reads, as the launcher found them."""

    infos: dict[str, DatasetInfo]  # of its data sets, by name
    notes: tuple[str, ...]  # sentences: what is there but not used, or is odd


def check_inputs(
    study: Study, site: Site, on: str = "local", todo: Plan | None = None
) -> CheckedInputs:
    """Check a study against the site.

    Args:
        on: where it will run, local or slurm.
        todo: the runs that are to be run. What none of them reads need not be there: data of
            finished runs, and of parts that are not launched. None: all runs.

    Raises:
        StudyError: one line per error, with file, line, key path and the way out.
    """
    if not study.pretrains:
        raise StudyError(
            f"{study.path}: has no pretrain block, so there is nothing to launch; bring results in "
            f"with `python -m hpc_xfer.import RESULTS.csv {shlex.quote(str(study.path))}`"
        )
    indexes: dict[str, ShardIndex | str] = {}
    infos: dict[str, DatasetInfo | str] = {}
    part = study if todo is None else part_to_run(study, todo)
    errors = [*source_errors(part, site, indexes), *weight_errors(part, site)]
    errors += batch_errors(study)
    errors += [*dataset_errors(part, site, infos), *probe_errors(part, site)]
    if on == "slurm":
        errors += _nodes(study, site)
    if errors:
        raise study.document.refusal(errors)
    found = {name: info for name, info in infos.items() if isinstance(info, DatasetInfo)}
    sources = {name: each for name, each in indexes.items() if isinstance(each, ShardIndex)}
    notes = (
        *source_notes(part, sources),
        *dataset_notes(part, found),
        *weight_notes(part, site, _environment(site, on)),
        *unchecked_note(study, part),
    )
    return CheckedInputs(found, notes)


def _environment(site: Site, on: str) -> Mapping[str, str]:
    """Return the variables of the processes that will run, as far as they can be told here."""
    return os.environ | (site.slurm.environment if on == "slurm" else {})


def _nodes(study: Study, site: Site) -> Iterator[ConfigError]:
    try:
        spread_over_nodes(study.resources.pretrain.gpus, site.slurm.gpus_per_node)
    except ValueError as error:
        yield ("resources", "pretrain", "gpus"), str(error)
