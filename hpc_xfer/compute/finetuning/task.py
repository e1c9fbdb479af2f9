"""One fine-tuning run from top to bottom: inputs, measurement by mode, record."""

import time

from hpc_xfer.compute import run_record
from hpc_xfer.compute.finetuning import probe_run, trained_run, zero_shot_run
from hpc_xfer.compute.finetuning.measurement import Measurement
from hpc_xfer.compute.finetuning.run_inputs import RunInputs, prepare
from hpc_xfer.compute.run_context import RunContext
from hpc_xfer.compute.training.checkpoint import Checkpoints
from hpc_xfer.config.finetune_recipes import KNN, AdamWFinetune, LinearProbe, ZeroShot
from hpc_xfer.system import provenance


def finetune(context: RunContext) -> None:
    """Measure a parent on a draw of a data set; write hits.npy and record.json.

    Raises:
        XferError: see training/loop.py; no record is written then.
    """
    started, begun = provenance.now(), time.monotonic()
    inputs = prepare(context)
    measured = _measure(inputs)
    fingerprints = {"dataset": inputs.data.fingerprint, "parent": inputs.parent.fingerprint}
    if isinstance(inputs.recipe, ZeroShot) or measured.metrics.get("head_start") == "text":
        fingerprints["words"] = inputs.words
    timing = {
        "seconds": time.monotonic() - begun,
        "train_seconds": measured.train_seconds,
        "data_wait_seconds": measured.data_wait_seconds,
    }
    checkpoints = Checkpoints(context.dir, context.claim)
    has_some = isinstance(inputs.recipe, AdamWFinetune)
    run_record.write(
        context,
        {**measured.metrics, **inputs.counts},
        timing,
        fingerprints,
        started,
        path=measured.path,
        hits=measured.hits,
        afterwards=checkpoints.discard if has_some else lambda: None,
    )


def _measure(inputs: RunInputs) -> Measurement:
    recipe = inputs.recipe
    if isinstance(recipe, ZeroShot):
        return zero_shot_run.measure(inputs)
    if isinstance(recipe, LinearProbe | KNN):
        return probe_run.measure(inputs, recipe)
    assert isinstance(recipe, AdamWFinetune)
    return trained_run.measure(inputs, recipe)
