"""Find the part of a study whose runs are still to be run: only its inputs have to be there."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import compress

from hpc_xfer.config.finetune_recipes import Finetune
from hpc_xfer.config.recipes import Trained
from hpc_xfer.study.plan import Plan, pretrain_runs
from hpc_xfer.study.preflight.weight_checks import weights_of
from hpc_xfer.study.study_file import Study


def part_to_run(study: Study, todo: Plan) -> Study:
    """Return the study with the pre-trainings and the data sets of these runs alone.

    It is for checks of inputs, and makes no plan: a pre-training may start from one that is done.
    """
    kept = [run.id in todo.by_id for run in pretrain_runs(study)]
    pretrains = tuple(compress(study.pretrains, kept))
    trials = [run.recipe for run in todo.runs if isinstance(run.recipe, Finetune)]
    datasets = {trial.dataset for trial in trials}
    resources = study.resources
    if not any(isinstance(recipe, Trained) for recipe in pretrains):
        pretrain = resources.pretrain.model_copy(update={"probe": None})
        resources = resources.model_copy(update={"pretrain": pretrain})
    return replace(
        study,
        pretrains=pretrains,
        blocks=tuple(compress(study.blocks, kept)),
        starts=(),
        trials=tuple(trial for trial in study.trials if trial.dataset in datasets),
        trial_blocks=(),
        resources=resources,
    )


def unchecked_note(study: Study, part: Study) -> Iterator[str]:
    """Name what was not looked at, unless nothing is to be run."""
    if not part.pretrains and not part.trials:
        return
    whole, needed = _inputs(study), _inputs(part)
    left = {kind: [name for name in whole[kind] if name not in needed[kind]] for kind in whole}
    told = "; ".join(f"{kind} {', '.join(names)}" for kind, names in left.items() if names)
    if told:
        yield f"not checked, because no run that is left to do reads them: {told}"


def _inputs(study: Study) -> dict[str, dict[str, None]]:
    trained = (recipe for recipe in study.pretrains if isinstance(recipe, Trained))
    weights = (name for recipe in study.pretrains for _, name in weights_of(recipe))
    probe = study.resources.pretrain.probe
    datasets = [trial.dataset for trial in study.trials] + ([probe.dataset] if probe else [])
    return {
        "sources": dict.fromkeys(name for recipe in trained for name in recipe.shares),
        "weights": dict.fromkeys(weights),
        "data sets": dict.fromkeys(datasets),
    }
