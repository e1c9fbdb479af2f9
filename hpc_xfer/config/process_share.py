"""Choose what a process makes of its share of the machine: loading processes, images in memory."""

_MOST_LOADERS = 8
_LOADERS_BESIDE_AN_ENCODER = 2  # at most, without a GPU
_KEPT_SHARE = 1 / 16  # of the memory, for one image set; a process keeps some four of any size
_LEAST_KEPT = 1 << 28  # bytes: 10,000 images of 32 px, 1,700 of 224 px
_MOST_KEPT = 8 << 30  # bytes: 57,000 images of 224 px, more than a validation set of ImageNet


def loading_processes(cores: int, has_gpu: bool, threads: int = 1) -> int:
    """The number of loading processes where `workers` is null; it changes no number.

    With a GPU, all cores but one, which starts the GPU's work. Without one the encoder itself needs
    the cores, and a step takes so long that one or two processes load the next batch meanwhile;
    there is always one, since a read from a network file system would stop the encoder.

    Args:
        cores: of the process.
        threads: of the encoder, without a GPU.
    """
    if has_gpu:
        return min(_MOST_LOADERS, max(1, cores - 1))
    return min(_LOADERS_BESIDE_AN_ENCODER, max(1, cores - threads))


def kept_bytes(memory: float | None) -> int:
    """Bytes of the decoded images of a data set that stay in memory.

    Args:
        memory: bytes that the process may use; None where it is unknown.
    """
    return int(min(_MOST_KEPT, max(_LEAST_KEPT, (memory or 0.0) * _KEPT_SHARE)))
