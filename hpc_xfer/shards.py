"""Make, index and check tar shards: what pre-training reads.

python -m hpc_xfer.shards characters sources/
"""

import argparse
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from hpc_xfer import catalog, files, shard_index
from hpc_xfer.cli import console, exit_with, parser
from hpc_xfer.errors import DataError, StudyError
from hpc_xfer.shard_index import IMAGE_FIELDS, ShardIndex

SOURCES = ("sans", "serif", "mono", "symbols")
MADE = "made.json"  # beside rendered shards: what they were rendered from
CHUNK = 250  # samples a process renders at a time: 0.1 s, so that the bar moves
Progress = Callable[[int, int], None]  # done, in all


@dataclass(frozen=True)
class Rendering:
    """What decides the shards of one rendered source."""

    source: str
    samples: int
    classes: int
    size: int  # pixels, both sides
    seed: int

    def is_in(self, folder: Path) -> bool:
        """True where `folder` holds these shards, whole."""
        if files.read_json(folder / MADE) != self.note:
            return False
        try:
            return ShardIndex.load(folder).samples == self.samples
        except DataError:
            return False

    @property
    def note(self) -> dict[str, object]:
        return {"schema": 1, **asdict(self)}


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    match args.command:
        case "characters":
            return characters(args)
        case "make":
            return make(args)
        case "index":
            return index(args)
        case _:
            return check(args)


def characters(args: argparse.Namespace) -> int:
    """Render the asked sources, passing over those that are there already."""
    made = []
    for source in dict.fromkeys(args.source):
        rendering = Rendering(source, args.samples, args.classes, args.size, args.seed)
        folder = args.out / source
        fresh = not rendering.is_in(folder)
        if fresh:
            _render(rendering, folder, args.workers)
        made.append(ShardIndex.load(folder))
        _say(args, f"{folder}: {_contents(made[-1])}{'' if fresh else ', made before'}")
    if args.json:
        print(json.dumps([_facts(found) for found in made], indent=2))
    return 0


def make(args: argparse.Namespace) -> int:
    """An image folder to shuffled shards."""
    from hpc_xfer.data.shards import write_shards

    images = catalog.list_images(args.images)
    labelled = [(path, label) for label, paths in enumerate(images.values()) for path in paths]
    random.Random(args.seed).shuffle(labelled)
    names = [catalog.class_name(folder) for folder in images]
    with _progress("packing") as progress:
        samples = _counted(_samples(labelled, names), len(labelled), progress)
        found = write_shards(args.out, samples, names, args.per_shard)
    _report(args, found)
    return 0


def index(args: argparse.Namespace) -> int:
    """Write index.json beside the shards of a folder."""
    from hpc_xfer.data.shards import build_index

    with _progress("indexing") as progress:
        found = build_index(args.folder, progress)
    _report(args, found)
    return 0


def check(args: argparse.Namespace) -> int:
    """List what is broken in the shards of a folder; 1 if anything is."""
    from hpc_xfer.data import shards

    with _progress("checking") as progress:
        problems = shards.check(args.folder, progress)
    if args.json:
        print(json.dumps([asdict(problem) for problem in problems], indent=2))
        return 1 if problems else 0
    for problem in problems:
        print(": ".join(filter(None, (problem.shard, problem.key, problem.what))))
    print(f"{args.folder}: {f'{len(problems)} problems' if problems else 'all is well'}")
    return 1 if problems else 0


def _render(rendering: Rendering, folder: Path, workers: int) -> None:
    from hpc_xfer.data import characters as drawn
    from hpc_xfer.data.shards import remove_shards, write_shards

    names = map(drawn.caption, drawn.characters(rendering.source, rendering.classes))
    if folder.is_dir() and shard_index.list_shards(folder):
        if not (folder / MADE).is_file():
            raise StudyError(
                f"{folder}: holds shards that were not rendered here; name another folder"
            )
        remove_shards(folder)  # rendered otherwise, or cut off half-way: either can be made again
    files.write_json(folder / MADE, rendering.note)
    with _progress(f"rendering {rendering.source}") as progress:
        samples = _counted(_rendered(rendering, workers), rendering.samples, progress)
        write_shards(folder, samples, list(names))


def _rendered(rendering: Rendering, workers: int) -> Iterator[dict[str, bytes]]:
    starts = range(0, rendering.samples, CHUNK)
    render = partial(_render_chunk, rendering)
    if workers == 1 or len(starts) == 1:
        for start in starts:
            yield from render(start)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # spawn: a fork would copy the locks of threads that numpy or the progress bar may hold.
    pool = ProcessPoolExecutor(min(workers, len(starts)), mp_context=get_context("spawn"))
    try:
        for chunk in pool.map(render, starts):
            yield from chunk
    except BrokenProcessPool as error:
        raise DataError(
            f"rendering {rendering.source!r}: a process was killed, probably for its memory; run "
            "again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _render_chunk(rendering: Rendering, start: int) -> list[dict[str, bytes]]:
    from hpc_xfer.data.characters import Characters

    row = Characters(rendering.source, rendering.classes, rendering.size, rendering.seed)
    return [row.sample(i) for i in range(start, min(start + CHUNK, rendering.samples))]


def _samples(
    labelled: Iterable[tuple[Path, int]], names: Sequence[str]
) -> Iterator[dict[str, bytes]]:
    for path, label in labelled:
        field, data = _image(path)
        yield {field: data, "cls": str(label).encode(), "txt": names[label].encode()}


def _image(path: Path) -> tuple[str, bytes]:
    """Field and bytes: the file as it is where shards know its format, else a PNG of it."""
    from hpc_xfer.data.images import decode_array, encode_png

    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error
    field = path.suffix.lower().lstrip(".")
    if field in IMAGE_FIELDS:
        return field, data
    return "png", encode_png(decode_array(data, str(path)))


def _counted(
    samples: Iterable[Mapping[str, bytes]], total: int, progress: Progress
) -> Iterator[Mapping[str, bytes]]:
    for done, sample in enumerate(samples, start=1):
        yield sample
        progress(done, total)


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    """A bar on a terminal, else a line per tenth: a log keeps every line it gets."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda done, total: _tenth(what, done, total)
        return
    from rich.progress import Progress as Bar

    with Bar(console=screen, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tenth(what: str, done: int, total: int) -> None:
    if done * 10 // total > (done - 1) * 10 // total:
        console(stderr=True).print(f"{what}: {done:,} of {total:,}", markup=False)


def _report(args: argparse.Namespace, found: ShardIndex) -> None:
    _say(args, f"{found.folder}: {_contents(found)}")
    if args.json:
        print(json.dumps(_facts(found), indent=2))


def _say(args: argparse.Namespace, line: str) -> None:
    if not args.json:
        print(line)


def _contents(found: ShardIndex) -> str:
    classes = "" if found.classes is None else f", {len(found.classes):,} classes"
    return f"{found.samples:,} samples in {len(found.entries):,} shards{classes}"


def _facts(found: ShardIndex) -> dict[str, object]:
    return {
        "folder": str(found.folder),
        "samples": found.samples,
        "shards": len(found.entries),
        "classes": None if found.classes is None else len(found.classes),
        "fields": list(found.fields),
        "fingerprint": found.fingerprint,
    }


def _parser() -> argparse.ArgumentParser:
    top = parser("shards", __doc__.splitlines()[0], "python -m hpc_xfer.shards characters sources/")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="python -m hpc_xfer.shards"
    )

    def command(name: str, description: str, usage: str, example: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=description,
            description=description,
            usage=f"%(prog)s {usage}\n\nexample:\n  python -m hpc_xfer.shards {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.add_argument("--json", action="store_true", help="print facts as JSON")
        return sub

    sub = command(
        "characters",
        "Render printed characters into OUT/<source>/: pre-training data without a download.",
        "OUT [options]",
        "sources/ --source sans serif --samples 16000",
    )
    sub.add_argument("out", metavar="OUT", type=Path)
    sub.add_argument("--source", nargs="+", choices=SOURCES, default=SOURCES, help="default: all")
    sub.add_argument("--samples", type=_positive, default=8000, help="of each source (8000)")
    sub.add_argument("--classes", type=_positive, default=400, help="characters (400)")
    sub.add_argument("--size", type=_size, default=32, help="pixels, both sides (32)")
    sub.add_argument("--seed", type=_natural, default=0, help="another seed, other images (0)")
    sub.add_argument("--workers", type=_positive, default=_cores(), help="processes (all cores)")

    sub = command(
        "make",
        "Pack the image folder IMAGES/CLASS/* into shuffled shards with captions and classes.",
        "IMAGES OUT [options]",
        "photos/train sources/photos",
    )
    sub.add_argument("images", metavar="IMAGES", type=Path)
    sub.add_argument("out", metavar="OUT", type=Path)
    sub.add_argument("--per-shard", type=_positive, default=1000, help="images in a shard (1000)")
    sub.add_argument("--seed", type=_natural, default=0, help="of the shuffle (0)")

    sub = command(
        "index",
        "Count and fingerprint the shards of FOLDER and write index.json beside them.",
        "FOLDER [options]",
        "sources/laion",
    )
    sub.add_argument("folder", metavar="FOLDER", type=Path)

    sub = command(
        "check",
        "Open every shard of FOLDER, decode every image, and list what is broken.",
        "FOLDER [options]",
        "sources/laion",
    )
    sub.add_argument("folder", metavar="FOLDER", type=Path)
    return top


def _natural(text: str) -> int:
    return _at_least(0, text)


def _positive(text: str) -> int:
    return _at_least(1, text)


def _size(text: str) -> int:
    return _at_least(8, text)  # below this characters are dots


def _at_least(least: int, text: str) -> int:
    try:
        if (value := int(text.replace(",", "").replace("_", ""))) >= least:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")


def _cores() -> int:
    """Those that Slurm or the container lets us use, not those of the whole node."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    exit_with(main)
