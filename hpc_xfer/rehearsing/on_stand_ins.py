"""Put a study on stand-ins: tiny shards and data sets that are made in the store of a rehearsal."""

from pathlib import Path

from hpc_xfer.config.training_data.source_needs import source_needs
from hpc_xfer.dataset_tools.stand_ins.stand_in_site import make_stand_ins
from hpc_xfer.store.store import Store
from hpc_xfer.study.rehearsal import rehearsal_of
from hpc_xfer.study.stand_ins import stand_in_study
from hpc_xfer.study.study_file import Study
from hpc_xfer.system import machine, terminal
from hpc_xfer.system.written_path import absolute


def on_stand_ins(study: Study, store: Store, site_file: Path | None, on: str) -> tuple[Study, Path]:
    """Shrink a study, make what it reads in the store, and return the site file of both.

    Args:
        site_file: the user's; its slurm part is kept.
        on: "slurm" or "local".

    Raises:
        StudyError: a source or a data set of the study has no stand-in.
    """
    if on == "local" and not machine.gpus():  # several processes on a CPU show nothing more
        study = stand_in_study.on_one_process(study)
    study = stand_in_study.with_stand_ins(rehearsal_of(study))
    for line in stand_in_study.SHRUNK:
        terminal.say(f"stand-ins: {line}", stderr=True)
    datasets = dict.fromkeys(trial.dataset for trial in study.trials)
    needs = source_needs(study.pretrains)
    folder = absolute(store.root) / "stand_ins"  # paths of a site file are relative to its folder
    return study, make_stand_ins(folder, needs, datasets, site_file)
