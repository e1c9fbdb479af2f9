"""What a fine-tuning run measured, in the form of its record."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Measurement:
    """Metrics, the path of a probe, and one bit per test image: right or wrong."""

    metrics: dict[str, Any]
    hits: bytes  # content of hits.npy
    path: dict[str, Any] | None = None  # lists as long as path["values"]
    train_seconds: float = field(default=0.0, compare=False)
    data_wait_seconds: float = field(default=0.0, compare=False)  # of the training


def hits_file(packed: NDArray[np.uint8]) -> bytes:
    """Return the content of hits.npy: bits (bytes,), or (values, bytes) of a path.

    To read it: np.unpackbits(np.load(path), axis=-1, count=n_test).
    """
    buffer = io.BytesIO()
    np.save(buffer, packed)
    return buffer.getvalue()
