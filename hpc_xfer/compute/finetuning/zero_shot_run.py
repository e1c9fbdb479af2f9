"""Zero-shot: class names, through the parent's text tower, as the classifier."""

import torch

from hpc_xfer.compute.finetuning.measurement import Measurement, hits_file
from hpc_xfer.compute.finetuning.run_inputs import ChosenImages, RunInputs
from hpc_xfer.compute.finetuning.scoring import named_scores, packed_hits
from hpc_xfer.config.own_datasets.remarks import zero_shot_refusal
from hpc_xfer.errors import DataError


@torch.no_grad()
def measure(inputs: RunInputs) -> Measurement:
    """Classify the test images by the text of their class names; no label is used.

    Raises:
        DataError: the parent has no text tower, or the class names are codes.
    """
    if inputs.parent.towers.text is None:
        raise DataError(
            f"the parent {inputs.context.run.parents[0].id} has no text tower, so it has no "
            "zero-shot classifier; remove mode zeroshot for it"
        )
    if why := zero_shot_refusal(inputs.data.info):  # of torchvision, known only here
        raise DataError(why)
    weights = inputs.text_weights()

    def logits(subset: ChosenImages) -> torch.Tensor:
        features = subset.features(inputs.liveness).to(inputs.device)
        found: torch.Tensor = (features @ weights.T).cpu()
        return found

    found = logits(inputs.test)
    metrics = named_scores("test", found, inputs.test.labels)
    for name, subset in inputs.further.items():
        metrics |= named_scores(name, logits(subset), subset.labels)
    return Measurement(metrics, hits_file(packed_hits(found, inputs.test.labels)))
