"""Put a study on stand-ins: tiny shards, data sets and weights in the store of a rehearsal."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from hpc_xfer.config.downstream_datasets import PACKAGED
from hpc_xfer.config.schema import closest
from hpc_xfer.config.site import Site
from hpc_xfer.config.training_data.source_needs import source_needs
from hpc_xfer.dataset_tools.stand_ins.packaged import WRITERS
from hpc_xfer.dataset_tools.stand_ins.stand_in_site import make_stand_ins
from hpc_xfer.store.store import Store
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.stand_ins import stand_in_study
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import atomic_files, machine, terminal
from hpc_xfer.system.written_path import absolute


def on_stand_ins(
    study: Study, store: Store, site: Site, site_file: Path | None, on: str
) -> tuple[Study, Path]:
    """Shrink a study, make what it reads in the store, and return the site file of both.

    Args:
        site: the user's; it says in which form the weights of others are.
        site_file: its file; its slurm part is kept.
        on: "slurm" or "local".

    Raises:
        StudyError: a source or a data set of the study has no stand-in.
    """
    short = rehearsal_of(study)
    folder = absolute(store.root) / "stand_ins"  # paths of a site file are relative to its folder
    study = stand_in_study.with_lists(
        stand_in_study.with_stand_ins(short), _write_lists(short, folder / "lists")
    )
    if on == "local" and not machine.gpus():  # several processes on a CPU show nothing more
        study = stand_in_study.on_one_process(study)
    probe = study.resources.pretrain.probe
    datasets = dict.fromkeys(trial.dataset for trial in study.trials)
    datasets |= {} if probe is None else {probe.dataset: None}
    needs = source_needs(study.pretrains)
    told = [*stand_in_study.SHRUNK, *_own_datasets(datasets)]
    told += [] if site_file is None else _not_in_site(needs, datasets, site)
    terminal.say(*(f"stand-ins: {line}" for line in told), stderr=True)
    weights = {
        name: (needed.arch, site.weights(needed.name))
        for name, needed in stand_in_study.needed_weights(short).items()
    }
    return study, make_stand_ins(folder, needs, datasets, weights, site_file)


def _own_datasets(datasets: Iterable[str]) -> Iterator[str]:
    """Tell what is not rehearsed of data sets of the user's own."""
    own = [repr(name) for name in datasets if name not in (*WRITERS, *PACKAGED)]
    if own:
        yield (
            f"data sets of your own ({', '.join(own)}) are image folders of three classes; their "
            "form, names and prompts are not rehearsed"
        )


def _not_in_site(sources: Iterable[str], datasets: Iterable[str], site: Site) -> Iterator[str]:
    """Tell what the study needs and the site file does not name, such as a misspelt source."""
    missing = [*_unnamed("source", sources, site.sources)]
    missing += _unnamed("data set", (name for name in datasets if name not in PACKAGED),
                        site.datasets)  # fmt: skip
    if missing:
        yield f"a launch will need what the site file does not name: {', '.join(missing)}"


def _unnamed(what: str, names: Iterable[str], known: Collection[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            near = closest(name, known)
            yield f"{what} {name!r}" + (f" (did you mean {near!r}?)" if near else "")


def _write_lists(short: Study, folder: Path) -> dict[str, Path]:
    """Write the lists of keys, each under the name of the one that it replaces."""
    files = {}
    for each in stand_in_study.needed_lists(short):
        path = folder / each.keys.sha256[:12] / Path(each.keys.path or "keys.txt").name
        atomic_files.make_folder(path.parent)
        atomic_files.write_text(path, each.text)
        files[each.keys.sha256] = path
    return files
