"""Features of an untrained encoder for a whole split, extracted once and kept in the store.

They depend on the bytes of the encoder and of the data set, on the view, and on how it was computed
(precision, device, batches), and their place is a hash of all that. Fixed batches in the order of
the data set give the same bits for every draw, shot count, order of runs and packing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from hpc_xfer.compute.downstream.array_format import DamagedCacheError
from hpc_xfer.compute.downstream.cached_array import ArrayFile, CachedArray, WriteClaim
from hpc_xfer.compute.downstream.decoded_cache import VIEW_VERSION, CachePlaces, software
from hpc_xfer.compute.downstream.eval_images import EvalImages, batch_size
from hpc_xfer.compute.downstream.forward import forward_all
from hpc_xfer.compute.downstream.splits import Indices
from hpc_xfer.compute.models.encoders import Towers
from hpc_xfer.compute.models.normalize import Normalize
from hpc_xfer.compute.training.gpu_arithmetic import autocast, products
from hpc_xfer.errors import DataError
from hpc_xfer.store.heartbeat import Liveness


@dataclass(frozen=True)
class Extraction:
    """Device and precision of an extraction. On a CPU it is always fp32."""

    device: torch.device
    precision: str = "fp32"  # of autocast on a GPU

    @property
    def effective_precision(self) -> str:
        return self.precision if self.device.type == "cuda" else "fp32"

    @property
    def where(self) -> str:
        """Hardware that may change last bits: kind of GPU, or instructions and threads of a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        capability = torch.backends.cpu.get_cpu_capability()
        return f"{self.device.type} {capability}, {torch.get_num_threads()} threads"


@dataclass(frozen=True, eq=False)
class FeatureCache:
    """The features of one encoder for one split."""

    towers: Towers
    encoder: Path
    encoder_fingerprint: str
    images: EvalImages
    split: Mapping[str, Any]  # fingerprint of the data set, and name of the split
    extraction: Extraction
    places: CachePlaces | None  # None: kept in memory only

    @cached_property
    def slot(self) -> CachedArray | None:
        """The place of the features on disk."""
        if self.places is None:
            return None
        what = {
            **self.split,
            "encoder": self.encoder_fingerprint,
            "size": self.images.size,
            "view": VIEW_VERSION,
            "batch": batch_size(self.images.size),
            "precision": self.extraction.effective_precision,
            "where": self.extraction.where,
            **software(),
        }
        shape = (len(self.images.images), self.towers.dim)
        store = self.places.store
        root = store.cache("features")
        return CachedArray.keyed(root, what, shape, np.dtype("<f4"), store.trusts_members)

    def whole(self, liveness: Liveness) -> Tensor:
        """Read or extract the features (n, dim) of all images, on the CPU.

        Raises:
            DataError: an image cannot be decoded, or a feature is not finite.
        """
        if self.slot is None:
            return self._extracted(liveness)
        found = self.slot.open_or_claim(liveness.touch)
        if isinstance(found, ArrayFile):
            try:
                return torch.from_numpy(found.whole())
            except DamagedCacheError as error:
                self.slot.left_out(str(error))
                self.slot.remove()
                return self._extracted(liveness)
        return self._extracted(liveness) if found is None else self._written(found, liveness)

    def _written(self, claim: WriteClaim, liveness: Liveness) -> Tensor:
        try:
            features = self._extracted(liveness, claim)
        except BaseException:  # Ctrl-C too: others would wait for a writer that is gone
            claim.release()
            raise
        claim.made = True
        claim.write([features.numpy()], liveness.touch)
        return features

    @torch.no_grad()
    def _extracted(self, liveness: Liveness, claim: WriteClaim | None = None) -> Tensor:
        """Extract without a copy of the encoder: its visual tower moves to the device for good."""

        def touch() -> None:
            liveness.touch()
            if claim is not None:
                claim.touch()

        device = self.extraction.device
        visual = self.towers.visual.to(device).eval()
        normalize = Normalize(self.towers).to(device)
        chosen = np.arange(len(self.images.images))
        precision = self.extraction.effective_precision

        def features(batch: Tensor) -> Tensor:
            with autocast(device, precision):
                found = visual(normalize(batch))
            return F.normalize(found.float(), dim=-1)

        with products(device, precision):
            found = forward_all(features, self.images.batches(chosen, touch), device)
        self.check_finite(found, chosen)
        return found

    def check_finite(self, features: Tensor, chosen: Indices) -> None:
        """Refuse features of which one is NaN or infinite.

        Raises:
            DataError: such a feature, with its encoder, split and image.
        """
        wrong = (~features.isfinite().all(dim=1)).nonzero()
        if len(wrong):
            raise DataError(
                f"{self.encoder}: gives NaN or infinity for {len(wrong):,} of {len(chosen):,} "
                f"images of {self.split['name']}, first image {int(chosen[int(wrong[0])])}; "
                "delete the folder of its run and launch again to repeat the pre-training"
            )
