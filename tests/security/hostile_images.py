"""Images of a few kB that would take gigabytes or minutes, and large ones that are in order."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@cache
def flat(side: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (side, side))


@cache
def scans(number: int, side: int = 4000) -> bytes:
    """A progressive JPEG whose last scan stands there many times."""
    data = encoded(flat(side), "jpeg", progressive=True)
    starts = [found.start() for found in re.finditer(b"\xff\xda", data)]
    end = data.rindex(b"\xff\xd9")
    return data[:end] + data[starts[-1] : end] * number + data[end:]


def hidden_scans() -> bytes:
    """The same, with what looks like the end of the image before them."""
    data = scans(300)
    first = data.index(b"\xff\xda")
    return data[:first] + b"\xff\xfe\x00\x04\xff\xd9" + data[first:]


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, depth: int, color: int, channels: int, *more: bytes) -> bytes:
    """A PNG of one color, with further chunks before its pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    row = bytes(1 + -(-width * depth * channels // 8))
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    chunks = (chunk(b"IHDR", head), *more, chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def text_bomb() -> bytes:
    packed = zlib.compress(bytes(1_000_000), 9)
    texts = (chunk(b"zTXt", b"key%d\0\0" % i + packed) for i in range(1_000))
    return png(10, 10, 8, 2, 3, *texts)


def many_chunks() -> bytes:
    return png(10, 10, 8, 2, 3, chunk(b"tIME", b"") * 2_000_000)


def gif_comment() -> bytes:
    data = encoded(Image.new("P", (10, 10)), "gif")
    at = data.index(b"\x2c")
    part = b"\xff" + b"a" * 255
    return data[:at] + b"\x21\xfe" + part * 100_000 + b"\0" + data[at:]


def gif_second_comment() -> bytes:
    """Between the first and the second frame, which is looked for to tell an animation."""
    data = encoded(Image.new("P", (10, 10)), "gif")
    comment = b"\x21\xfe" + (b"\xff" + b"a" * 255) * 100_000 + b"\0"
    return data[:-1] + comment + data[data.index(b"\x2c") :]


def tags(number: int, each: int) -> bytes:
    """A TIFF whose tags all tell the same data."""
    pixels = encoded(flat(10), "tiff")
    body = bytes(each)
    first = len(pixels) + len(body)
    entries = b"".join(struct.pack("<HHII", 1_000 + i, 1, each, len(pixels)) for i in range(number))
    start = struct.pack("<4sI", b"II*\0", first)
    return start + pixels[8:] + body + struct.pack("<H", number) + entries + bytes(4)


def exif_tags() -> bytes:
    entries = b"".join(struct.pack("<HHII", i, 1, 400_000, 8) for i in range(20_000))
    exif = struct.pack("<4sIH", b"II*\0", 8, 20_000) + entries + bytes(400_000)
    return encoded(flat(10), "png", exif=exif)


def tiff_of_scans() -> bytes:
    """A TIFF with one strip, which is a JPEG of 90 scans."""
    side, jpeg = 4000, scans(90)
    entries = [
        (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 7), (262, 3, 1, 6),
        (273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, side), (279, 4, 1, len(jpeg)),
    ]  # fmt: skip
    told = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = struct.pack("<4sI", b"II*\0", 8 + len(jpeg))
    return start + jpeg + struct.pack("<H", len(entries)) + told + bytes(4)


def jpeg2000(change: Callable[[bytearray, int], None]) -> bytes:
    data = bytearray(encoded(flat(64), "jpeg2000"))
    change(data, data.index(b"\xff\x4f\xff\x51"))
    return bytes(data)


def tiny_tiles(data: bytearray, at: int) -> None:
    data[at + 8 : at + 16] = struct.pack(">II", 1800, 1800)
    data[at + 24 : at + 32] = struct.pack(">II", 2, 2)


def many_components(data: bytearray, at: int) -> None:
    data[at + 40 : at + 42] = struct.pack(">H", 16_384)


def bmp_of_runs() -> bytes:
    """A BMP of 8 bits whose run lengths go on without a pixel."""
    runs = b"\0\2\0\0" * 5_000_000
    head = struct.pack("<IiiHHIIiiII", 40, 100, 100, 1, 8, 1, len(runs), 0, 0, 256, 0)
    start = 14 + len(head) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + head + bytes(1024) + runs


def small_box(name: bytes, data: bytes) -> bytes:
    """The file with another size in the box that tells it: 100 x 100 pixels."""
    at = data.index(name) + (8 if name == b"ispe" else 4)
    return data[:at] + struct.pack(">II", 100, 100) + data[at + 8 :]


def hidden_frames(number: int) -> bytes:
    """An AVIF whose stream has its frame many times, of which one is shown."""
    data = encoded(flat(2000), "avif", speed=10)
    start = data.index(b"mdat") + 4
    stream = data[start:]
    first = 2 + stream[1] if stream[0] >> 3 == 2 else 0  # after what delimits
    after = first + 2 + stream[first + 1]  # the header of all frames
    changed = stream[:after] + stream[after:] * number
    head = data[:start].replace(struct.pack(">I", len(stream)), struct.pack(">I", len(changed)))
    head = head[:-8] + struct.pack(">I", 8 + len(changed)) + b"mdat"
    return head + changed


def many_boxes() -> bytes:
    data = encoded(flat(64), "jpeg2000")
    at = data.index(b"jp2h") - 4
    return data[:at] + b"\0\0\0\x08free" * 4_000_000 + data[at:]


def second_header(*first: bytes) -> bytes:
    """A large PNG after whose signature other parts stand."""
    data = png(3400, 3400, 16, 6, 4)
    return data[:8] + b"".join(first) + data[8:]


def profiles() -> bytes:
    packed = b"icc\0\0" + zlib.compress(bytes(1_000_000), 9)
    return png(10, 10, 8, 2, 3, chunk(b"iCCP", packed) * 20_000)


def large_tile() -> bytes:
    """A TIFF of 10 x 10 pixels in a tile of 8,192 x 8,192."""
    side = 8192
    packer = zlib.compressobj(9)
    row = bytes(side * 3)
    packed = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])
    entries = [
        (256, 4, 1, 10), (257, 4, 1, 10), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 2),
        (277, 3, 1, 3), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8),
        (325, 4, 1, len(packed)),
    ]  # fmt: skip
    told = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    start = struct.pack("<4sI", b"II*\0", 8 + len(packed))
    return start + packed + struct.pack("<H", len(entries)) + told + bytes(4)


def small_screen() -> bytes:
    data = encoded(Image.new("P", (6500, 6500)), "gif")
    return data[:6] + struct.pack("<HH", 10, 10) + data[10:]


def small_canvas() -> bytes:
    """A WebP whose canvas is smaller than the frame in it."""
    data = encoded(flat(4300), "webp", lossless=True, method=0, quality=0)
    canvas = struct.pack("<4sI", b"VP8X", 10) + bytes(4) + (99).to_bytes(3, "little") * 2
    size = 4 + len(canvas) + len(data) - 12
    return b"RIFF" + struct.pack("<I", size) + b"WEBP" + canvas + data[12:]


def two_frames() -> bytes:
    """A JPEG with a second header of its frame, of another size."""
    data = scans(1)
    at = data.index(b"\xff\xc2")
    (length,) = struct.unpack_from(">H", data, at + 2)
    frame = bytearray(data[at : at + 2 + length])
    frame[5:9] = struct.pack(">HH", 10, 10)
    return data[:at] + bytes(frame) + data[at:]


def late_height() -> bytes:
    """A JPEG that tells its height at its end."""
    data = encoded(flat(1000), "jpeg")
    at = data.index(b"\xff\xc0")
    last = b"\xff\xdc\0\4" + struct.pack(">H", 60_000)
    return data[: at + 5] + b"\0\0" + data[at + 7 : -2] + last + data[-2:]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "scans.jpg": lambda: scans(300),
    "hidden-scans.jpg": hidden_scans,
    "turned-scans.jpg": lambda: scans(300).replace(b"\xff\xc2", b"\xff\xca", 1),
    "fill.jpg": lambda: b"\xff\xd8" + b"\xff" * 30_000_000 + encoded(flat(9), "jpeg")[2:],
    "segments.jpg": lambda: (
        b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000 + encoded(flat(9), "jpeg")[2:]
    ),
    "rubbish.jpg": lambda: (
        b"\xff\xd8\xff\xfe\0\2" + bytes(30_000_000) + encoded(flat(9), "jpeg")[2:]
    ),
    "large.webp": lambda: encoded(flat(4300), "webp", lossless=True, method=0, quality=0),
    "large.png": lambda: png(5000, 5000, 8, 2, 3),
    "deep.png": lambda: png(3400, 3400, 16, 6, 4),
    "palette.png": lambda: png(9400, 9400, 1, 3, 1, chunk(b"PLTE", bytes(6))),
    "long.png": lambda: png(1, 200_000, 8, 2, 3),
    "texts.png": text_bomb,
    "chunks.png": many_chunks,
    "exif.png": exif_tags,
    "comment.gif": gif_comment,
    "second.gif": gif_second_comment,
    "large.gif": lambda: encoded(Image.new("P", (6500, 6500)), "gif"),
    "tags.tif": lambda: tags(60_000, 1_000_000),
    "few-tags.tif": lambda: tags(500, 8_000_000),
    "scans.tif": tiff_of_scans,
    "large.tif": lambda: encoded(flat(5000), "tiff", compression="tiff_lzw"),
    "runs.bmp": bmp_of_runs,
    "text.ppm": lambda: b"P3 2000 2000 255\n" + b"9 " * 12_000_000,
    "comment.ppm": lambda: b"P6\n#" + b"a" * 30_000_000 + b"\n2 2 255\n" + bytes(12),
    "comments.ppm": lambda: b"P3 500 500 255\n" + b"#\n" * 500_000 + b"9 " * 750_000,
    "large.jp2": lambda: encoded(flat(2000), "jpeg2000"),
    "tiles.jp2": lambda: jpeg2000(tiny_tiles),
    "components.jp2": lambda: jpeg2000(many_components),
    "large.avif": lambda: encoded(flat(4000), "avif", speed=10),
    "program.eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    "box.avif": lambda: small_box(b"ispe", encoded(flat(4000), "avif", speed=10)),
    "hidden-frames.avif": lambda: hidden_frames(100),
    "box.jp2": lambda: small_box(b"ihdr", encoded(flat(2000), "jpeg2000")),
    "boxes.jp2": many_boxes,
    "two-headers.png": lambda: second_header(png(10, 10, 1, 0, 1)[8:33]),
    "late-header.png": lambda: second_header(chunk(b"tIME", bytes(17))),
    "profiles.png": profiles,
    "tile.tif": large_tile,
    "white.ppm": lambda: b"P6\n2000 2000 254\n" + bytes(12_000_000),
    "wide.ppm": lambda: b"P6\n2000 1000 65535\n" + bytes(12_000_000),
    "screen.gif": small_screen,
    "canvas.webp": small_canvas,
    "two-frames.jpg": two_frames,
    "late-height.jpg": late_height,
    "large.ico": lambda: encoded(flat(64), "ico"),
}


@cache
def photo(width: int, height: int) -> Image.Image:
    """An image of smooth colors with noise."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))
    noise = random.integers(0, 16, smooth.shape, dtype=np.uint8)
    return Image.fromarray(smooth // 17 * 16 + noise)


LARGEST: dict[str, Callable[[], bytes]] = {
    "largest.jpg": lambda: encoded(flat(9400), "jpeg"),
    "largest-progressive.jpg": lambda: encoded(flat(5000), "jpeg", progressive=True, subsampling=0),
    "largest-turned.jpg": lambda: encoded(flat(5000), "jpeg", exif=turned()),
    "largest.png": lambda: png(4900, 4900, 8, 2, 3),
    "largest-palette.png": lambda: png(6400, 6400, 1, 3, 1, chunk(b"PLTE", bytes(6))),
    "largest-16.png": lambda: png(5700, 5700, 16, 0, 1),
    "largest.webp": lambda: encoded(flat(4100), "webp", lossless=True, method=0, quality=0),
    "largest.tif": lambda: encoded(flat(4800), "tiff", compression="tiff_lzw"),
    "largest.gif": lambda: encoded(Image.new("P", (6400, 6400)), "gif"),
    "largest.avif": lambda: encoded(flat(3800), "avif", speed=10),
    "largest.jp2": lambda: encoded(flat(1890), "jpeg2000"),
}


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


ORDINARY: dict[str, Callable[[], bytes]] = {
    "camera.jpg": lambda: encoded(photo(2400, 1600), "jpeg", quality=92),
    "progressive.jpg": lambda: encoded(photo(2400, 1600), "jpeg", quality=90, progressive=True),
    "four-colors.jpg": lambda: encoded(photo(1200, 800).convert("CMYK"), "jpeg"),
    "photo.png": lambda: encoded(photo(2400, 1600), "png", compress_level=1),
    "photo.webp": lambda: encoded(photo(2400, 1600), "webp", quality=80, method=0),
    "photo.tif": lambda: encoded(photo(2400, 1600), "tiff", compression="tiff_lzw"),
    "photo.gif": lambda: encoded(
        photo(1200, 800).quantize(method=Image.Quantize.FASTOCTREE), "gif"
    ),
    "photo.bmp": lambda: encoded(photo(2400, 1600), "bmp"),
    "photo.ppm": lambda: encoded(photo(2400, 1600), "ppm"),
    "photo.avif": lambda: encoded(photo(1200, 800), "avif", speed=10),
    "photo.jp2": lambda: encoded(
        photo(1200, 800), "jpeg2000", quality_mode="rates", quality_layers=[10]
    ),
}
