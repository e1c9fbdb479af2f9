"""Start the towers of a training from the encoder of another run of the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpc_xfer.compute.models import encoders
from hpc_xfer.compute.models.encoders import Product, Towers
from hpc_xfer.config.recipes import Arch
from hpc_xfer.errors import DataError


def start(path: Path, record: Mapping[str, Any], arch: Arch, towers: Towers) -> dict[str, Any]:
    """Load into the towers what a finished run has of them; tell digest, parts and normalization.

    The image tower and its normalization always are. A text tower is loaded with what belongs to
    both towers; if the run has none, these stay as they are.

    Args:
        path: encoder.pt of the run.
        record: of the run, with the digest of that file.
        arch: of the run.

    Raises:
        DataError: the file is damaged or another than the run wrote, or does not fit.
    """
    match record.get("provenance"):
        case {"products": dict() as products} if path.name in products:
            product = Product(arch, str(products[path.name]))
        case _:
            product = Product(arch)
    _, found, digest = encoders.load_hashed(path, product)
    parts = ["visual"]
    try:
        towers.visual.load_state_dict(found.visual.state_dict())
        towers.normalization = found.normalization
        if towers.text is not None and found.text is not None:
            parts += _load_text(towers, found)
    except RuntimeError as error:
        raise DataError(
            f"{path}: does not fit the arch of the training that starts from it; give both blocks "
            "the same arch"
        ) from error
    return {
        "sha256": digest,
        "parts": parts,
        "mean": list(found.normalization[0]),
        "std": list(found.normalization[1]),
    }


def _load_text(towers: Towers, found: Towers) -> list[str]:
    assert towers.text is not None and found.text is not None
    towers.text.load_state_dict(found.text.state_dict())
    parts = ["text"]
    if towers.projection is not None and found.projection is not None:
        towers.projection.load_state_dict(found.projection.state_dict())
        parts.append("projection")
    for scalar in ("logit_scale", "logit_bias"):
        value = getattr(found, scalar)
        if value is not None:
            setattr(towers, scalar, value.detach().clone())
            parts.append(scalar)
    return parts
