"""The peers for `loader`, in their own environment: open_clip, DALI, lightly, bare decoders."""

import itertools
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import simplejpeg
import torch
import webdataset as wds
from lightly.transforms import SimCLRTransform
from nvidia.dali import fn, pipeline_def, types
from open_clip_train.data import get_wds_dataset
from PIL import Image
from torchvision import transforms
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from benchmarks.harness import interleave, photo_shards

_ENDLESS = 1 << 30  # batches
_CROPS = transforms.RandomResizedCrop, v2.RandomResizedCrop  # lightly takes what there is


def clip(folder: str, size: int, batch: int, seconds: float) -> float:
    return interleave.rate(_clip_batches(folder, size, batch), batch, seconds)


def clip_restart(folder: str, size: int, batch: int, step: int) -> float:
    """Seconds until the batch of a step in the middle is there: the only way is past the others."""
    begun = time.perf_counter()
    next(itertools.islice(_clip_batches(folder, size, batch), step, None))
    return time.perf_counter() - begun


def passing_restart(folder: str, size: int, batch: int, step: int) -> float:
    """Do as `clip_restart`, but read the samples before from the tars without decoding them."""
    begun = time.perf_counter()
    transform, tokenize = _clip_transforms(size)
    stages = wds.SimpleShardList(interleave.urls(folder)), wds.tarfile_to_samples()
    samples = itertools.islice(wds.DataPipeline(*stages), step * batch, (step + 1) * batch)
    for sample in list(samples):
        transform(Image.open(BytesIO(sample["jpg"])))
        tokenize([sample["txt"].decode()])
    return time.perf_counter() - begun


def _clip_batches(folder: str, size: int, batch: int) -> Iterator[Any]:
    """open_clip's own pipeline, transform and tokenizer, as its trainer calls them."""
    transform, tokenize = _clip_transforms(size)
    args = Namespace(
        train_data=interleave.urls(folder),
        train_data_upsampling_factors=None,
        train_num_samples=_ENDLESS * batch,
        dataset_resampled=False,
        seed=0,
        workers=1,
        world_size=1,
        batch_size=batch,
    )
    info = get_wds_dataset(args, transform, is_train=True, tokenizer=tokenize)
    return iter(info.dataloader)


def _clip_transforms(size: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return open_clip.image_transform(size, is_train=True), open_clip.get_tokenizer("RN50")


def simclr(folder: str, size: int, batch: int, seconds: float, bicubic: bool) -> float:
    """lightly's transform behind the WebDataset stages that open_clip uses."""
    transform = SimCLRTransform(input_size=size)
    if bicubic:
        for view in transform.transforms:
            crop = view.transform.transforms[0]
            assert isinstance(crop, _CROPS)
            crop.interpolation = transforms.InterpolationMode.BICUBIC
    dataset = wds.DataPipeline(
        wds.SimpleShardList(interleave.urls(folder)),
        wds.split_by_worker,
        wds.tarfile_to_samples(),
        wds.shuffle(5000, initial=1000),
        wds.decode("pilrgb"),
        wds.map(lambda sample: tuple(transform(sample["jpg"]))),
        wds.batched(batch, partial=False),
    ).with_epoch(_ENDLESS)
    loader = wds.WebLoader(dataset, batch_size=None, shuffle=False, num_workers=1)
    return interleave.rate(iter(loader), batch, seconds)


def dali(folder: str, size: int, batch: int, seconds: float, bicubic: bool) -> float:
    """DALI's CPU pipeline with one thread: CLIP's crops; captions come as bytes, not as tokens."""
    how = types.DALIInterpType.INTERP_CUBIC if bicubic else types.DALIInterpType.INTERP_LINEAR

    @pipeline_def(batch_size=batch, num_threads=1, device_id=None, seed=0)
    def pipeline() -> tuple[Any, Any]:
        data, captions = fn.readers.webdataset(
            paths=[str(path) for path in sorted(Path(folder).glob("*.tar"))],
            ext=["jpg", "txt"],
            random_shuffle=True,
            initial_fill=1000,
            missing_component_behavior="error",
        )
        images = fn.decoders.image_random_crop(
            data, device="cpu", random_area=[0.9, 1.0], random_aspect_ratio=[3 / 4, 4 / 3]
        )
        images = fn.resize(images, size=(size, size), interp_type=how, antialias=True)
        return fn.crop_mirror_normalize(
            images, dtype=types.DALIDataType.UINT8, output_layout="HWC"
        ), captions

    made = pipeline()
    made.build()
    return interleave.rate(iter(made.run, None), batch, seconds)


def decoding(folder: str, decoder: str, seconds: float) -> float:
    """Images/s of one thread that does nothing else."""
    torch.set_num_threads(1)
    decode, images = _DECODERS[decoder], itertools.cycle(photo_shards.encoded(Path(folder)))
    return interleave.rate((decode(data) for data in images), 1, seconds)


def _torchvision(data: bytes) -> torch.Tensor:
    array = np.frombuffer(data, np.uint8)
    return decode_jpeg(torch.from_numpy(array), ImageReadMode.RGB)


def _simplejpeg(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data)


def _simplejpeg_scaled(data: bytes) -> np.ndarray:
    return simplejpeg.decode_jpeg(data, min_height=224, min_width=224)


def _pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def _pillow_draft(data: bytes) -> np.ndarray:
    image = Image.open(BytesIO(data))
    image.draft("RGB", (224, 224))
    return np.asarray(image)


_DECODERS: dict[str, Callable[[bytes], Any]] = {
    "torchvision": _torchvision,
    "simplejpeg": _simplejpeg,
    "simplejpeg scaled": _simplejpeg_scaled,
    "Pillow": _pillow,
    "Pillow draft": _pillow_draft,
}


if __name__ == "__main__":
    restarts = {"clip restart": clip_restart, "passing restart": passing_restart}
    loaders: dict[str, Callable[..., object]]
    loaders = {"clip": clip, "dali": dali, "simclr": simclr, "decoding": decoding}
    interleave.serve({**loaders, **restarts})
