"""Apply an encoder to batches of evaluation images; on a GPU, nothing waits for anything else.

    features = forward_all(lambda batch: model(batch), images.batches(chosen), device)

A thread decodes the next batch while the GPU computes, and results are copied to the host one batch
behind.
"""

import contextlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


@torch.no_grad()
def forward_all(
    forward: Callable[[Tensor], Tensor], batches: Iterator[Tensor], device: torch.device
) -> Tensor:
    """Concatenate the results (n, ...) of all batches, on the CPU; there is at least one batch.

    Raises:
        Exception: what `batches` or `forward` raise.
    """
    if device.type != "cuda":
        return torch.cat([forward(batch.to(device)) for batch in batches])
    parts: list[Tensor] = []
    copied: _Copied | None = None
    with contextlib.closing(_decoded_ahead(batches, device)) as decoded:
        for batch in decoded:
            before, copied = copied, _Copied(forward(batch.to(device, non_blocking=True)))
            if before is not None:
                parts.append(before.result())
    assert copied is not None
    return torch.cat([*parts, copied.result()])


class _Copied:
    """A tensor on its way to the host."""

    def __init__(self, value: Tensor) -> None:
        self._value = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        self._value.copy_(value, non_blocking=True)
        self._end = torch.cuda.Event()
        self._end.record()

    def result(self) -> Tensor:
        """Wait for the copy; return it in memory that is not pinned."""
        self._end.synchronize()
        return self._value.clone()


def _decoded_ahead(
    batches: Iterator[Tensor], device: torch.device
) -> Generator[Tensor, None, None]:
    """Yield pinned batches; the next one is decoded meanwhile."""

    def decode() -> Tensor | None:
        batch = next(batches, None)
        return None if batch is None else batch.pin_memory()

    # To pin memory, a thread needs a device: without one it takes memory of GPU 0.
    number = torch.cuda.current_device() if device.index is None else device.index
    with ThreadPoolExecutor(1, initializer=torch.cuda.set_device, initargs=(number,)) as decoder:
        waiting = decoder.submit(decode)
        while (batch := waiting.result()) is not None:
            waiting = decoder.submit(decode)
            yield batch
