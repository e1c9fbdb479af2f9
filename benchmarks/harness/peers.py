"""Make .venv-peers once: the environment of the packages that ours is compared with.

    python -m benchmarks.harness.peers        # make it, say which versions are in it

Its packages are those of peers.txt; torch, torchvision, open_clip and what decodes images are
our own files, reached through a .pth file: the same versions, and no second copy of 5 GB. Ours
needs none of it.
"""

import argparse
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

_HERE = Path(__file__).parent
_WANTED = _HERE / "peers.txt"
_FOLDER = _HERE.parent.parent / ".venv-peers"
# Equal on both sides, or the comparison would be of these.
_SHARED = ("torch", "torchvision", "open_clip_torch", "pillow", "simplejpeg", "numpy")


def python() -> Path:
    """Return the peers' interpreter; make the environment if it is absent or out of date.

    Raises:
        RuntimeError: pip could not install; the message holds its last output.
    """
    interpreter, mark = _FOLDER / "bin/python", _FOLDER / ".installed"
    if not mark.is_file() or mark.read_text() != _contents():
        shutil.rmtree(_FOLDER, ignore_errors=True)
        venv.create(_FOLDER, with_pip=True)
        _share(interpreter)
        _install(interpreter)
        mark.write_text(_contents())
    return interpreter


def _share(interpreter: Path) -> None:
    """Our packages stand after its own: what it installs itself wins."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.check_output([interpreter, "-c", ask], text=True).strip()
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (Path(where) / "ours.pth").write_text("\n".join(ours) + "\n")


def _install(interpreter: Path) -> None:
    pins = _FOLDER / "constraints.txt"
    pins.write_text(_pins())
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["-r", str(_WANTED), "-c", str(pins)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:  # else it only warns that hpc_xfer asks for another webdataset
        raise RuntimeError(f"{_FOLDER}: pip failed: {done.stderr[-2000:]}")


def _pins() -> str:
    return "".join(f"{name}=={version(name)}\n" for name in _SHARED)


def _contents() -> str:
    return f"{sys.executable}\n{_pins()}{_WANTED.read_text()}"


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.harness.peers", description="Make .venv-peers."
    ).parse_args()
    names = [*_SHARED, "webdataset", "lightly", "clip_benchmark", "nvidia-dali-cuda130"]
    ask = f"from importlib.metadata import version\nfor n in {names}: print(n, version(n))"
    print(subprocess.check_output([python(), "-c", ask], text=True), end="")


if __name__ == "__main__":
    main()
