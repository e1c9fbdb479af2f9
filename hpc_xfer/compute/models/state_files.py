"""Read the tensors of files that others wrote: torch's formats, TorchScript, safetensors, shards.

    state, facts, digests = read_state(find_weights(Path("ckpt.pt")), key="ema")

Checkpoints hold weights among other things: the one mapping of names to tensors is found at any
depth. Where there are several, the site file must say which with `key`.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from hpc_xfer.compute.models import weights_file
from hpc_xfer.compute.models.files.held_file import HeldFile, check_sums, held
from hpc_xfer.compute.models.files.pickle_check import NotPlainData
from hpc_xfer.compute.models.files.torchscript import torchscript_state
from hpc_xfer.config.released import weight_files
from hpc_xfer.config.released.weight_facts import WeightFacts, facts_of_header, openais_facts
from hpc_xfer.config.released.weight_files import WeightFiles
from hpc_xfer.config.released.zip_layout import checked_archive
from hpc_xfer.errors import DataError

State = dict[str, Tensor]
_OPENAI = "input_resolution"  # a number beside the weights, in OpenAI's files alone
_OPENAIS_NUMBERS = (_OPENAI, "context_length", "vocab_size")
_OURS = ("visual", "text", "projection", "head")  # parts of an encoder.pt
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST_LISTED = 5
_SCALAR = cast(Callable[..., Any], np.float64(0).__reduce__()[0])
# Data that training scripts save beside weights: arguments, and an accuracy as NumPy computes it.
_DATA: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
]


def read_state(
    found: WeightFiles, key: str | None = None
) -> tuple[State, WeightFacts, tuple[str, ...]]:
    """Read weights by their names, what the file tells beside them, and the SHA-256 of each file.

    Args:
        key: of the weights, where a file holds several.

    Raises:
        DataError: a file cannot be read, or does not hold one set of weights.
    """
    facts, (content, *digests) = WeightFacts(), _content(found.files[0])
    for shard in found.files[1:]:
        part, digest = _content(shard)
        content = {**_tensors(content), **_tensors(part)}
        digests.append(digest)
    if isinstance(content, Mapping) and {"schema", "arch", "visual"} <= content.keys():
        facts, content = facts_of_header(content), _flat(content)
    state = _weights_in(content, key, str(found.where))
    if (size := state.get(_OPENAI)) is not None and size.numel() == 1:
        facts = openais_facts(int(size))
        state = {k: v for k, v in state.items() if k not in _OPENAIS_NUMBERS}
    return state, facts, tuple(digests)


def _content(path: Path) -> tuple[Any, str]:
    """Return the content of a file and its SHA-256, both of one handle."""
    try:
        with held(path, follow=True) as file:
            return _loaded(path, file), file.sha256()
    except Exception as error:  # any error of torch, pickle or zipfile: not a file of weights
        raise DataError(f"{path}: {_why(error)}") from error


def _loaded(path: Path, file: HeldFile) -> Any:
    if weight_files.is_safetensors(path):
        weight_files.check_header(file.file)
        return safetensors.torch.load_file(file.place)
    if file.is_archive():
        with checked_archive(file.file) as archive:
            if weight_files.is_script(archive.namelist()):
                check_sums(archive)
                return torchscript_state(archive)
    return file.load(data=_DATA)


def _why(error: Exception) -> str:
    """Say in a few words why a file is not read; torch's own message advises to run its code."""
    if isinstance(error, NotPlainData):
        return (
            f"holds an object ({error.name}) beside tensors, which is code and is not run; save "
            "its state dict alone: torch.save(model.state_dict(), FILE)"
        )
    return (
        f"is not a file of weights, or damaged ({weights_file.why_refused(error)}); fetch it again"
    )


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """Name the tensors of an encoder.pt of ours as its encoder.safetensors does."""
    parts = {part: content.get(part) or {} for part in _OURS}
    state = {f"{part}.{k}": v for part, tensors in parts.items() for k, v in tensors.items()}
    scalars = {name: content.get(name) for name in ("logit_scale", "logit_bias")}
    return state | {name: torch.tensor(v) for name, v in scalars.items() if v is not None}


def _weights_in(content: Any, key: str | None, where: str) -> State:
    """Find the one mapping of names to tensors.

    Raises:
        DataError: there is none, or there are several.
    """
    while True:
        inner = _inner(content)
        if key is not None and (chosen := _chosen(content, key)) is not None:
            content, key = chosen, None
        elif len(inner) > 1 and key is not None:
            break
        elif len(inner) > 1:
            raise DataError(
                f"{where}: holds several sets of weights ({_listed(inner)}); state one of them in "
                "the site file with `key`"
            )
        elif inner:
            content = next(iter(inner.values()))
        else:
            break
    if key is not None:
        names = content if isinstance(content, Mapping) else ()
        first = dict.fromkeys(f"{name}".split(".")[0] for name in names)
        raise DataError(f"{where}: has no {key!r} (it has {_listed(first)}); correct `key`")
    state = {k: v for k, v in _tensors(content).items() if k != "n_averaged"}
    if not state:
        raise DataError(
            f"{where}: is not a state dict (a mapping from names to tensors); name the file of one"
        )
    return state


def _inner(content: Any) -> dict[str, Any]:
    """Return the mappings in a mapping that hold weights; those of optimizers are none."""
    if not isinstance(content, Mapping):
        return {}
    return {
        str(name): value
        for name, value in content.items()
        if not str(name).startswith("optim") and _holds_weights(value)
    }


def _holds_weights(value: Any) -> bool:
    if not isinstance(value, Mapping) or "param_groups" in value:
        return False
    # A single one may be the center of a loss.
    return sum(tensor.ndim > 0 for tensor in _tensors(value).values()) > 1 or bool(_inner(value))


def _tensors(value: Any) -> State:
    if not isinstance(value, Mapping):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _chosen(content: Any, key: str) -> Any:
    """Return what a key names in a mapping: an entry, or the tensors below a name; else None."""
    if not isinstance(content, Mapping):
        return None
    if key in content and isinstance(content[key], Mapping):
        return content[key]
    first, _, rest = key.partition(".")
    if rest and isinstance(content.get(first), Mapping):
        return _chosen(content[first], rest)
    below = f".{key}."
    return {
        f".{name}".split(below, 1)[1]: value
        for name, value in _tensors(content).items()
        if below in f".{name}"
    } or None


def _listed(names: Mapping[str, Any]) -> str:
    first = [name[:40] for name in list(names)[:_MOST_LISTED]]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "") or "nothing"


def check_usable(state: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str) -> None:
    """Refuse tensors that are no plain numbers, and numbers that are not finite.

    Args:
        own: the tensors of the model, which say where whole numbers belong.

    Raises:
        DataError: with the first of them.
    """
    for name, value in state.items():
        if (kind := _odd_kind(value, own.get(name))) is not None:
            raise DataError(
                f"{where}: {name} is {kind}; save the weights as plain tensors in fp32, bf16 "
                "or fp16"
            )
    # In fp64, a number may be finite that is too large for the encoder.
    broken = [name for name, value in state.items() if not bool(value.float().isfinite().all())]
    if broken:
        raise DataError(
            f"{where}: {len(broken):,} of {len(state):,} tensors have NaN or infinite weights, the "
            f"first {broken[0]}; fetch it again or take an earlier checkpoint"
        )


def _odd_kind(value: Tensor, own: Tensor | None) -> str | None:
    if value.is_meta:
        return "a meta tensor, without numbers"
    if value.is_quantized:
        return "quantised"
    if value.layout != torch.strided or value.is_nested:
        return "sparse"
    if own is not None and own.is_floating_point() and value.dtype not in _FLOATS:
        return f"of type {value.dtype}".replace("torch.", "")
    return None
