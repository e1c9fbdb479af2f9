"""Skip tests of torch.compile where this machine cannot build what it writes."""

import os
import shutil
import sysconfig
from pathlib import Path

import pytest

_COMPILERS = ("c++", "g++", "clang++")
_COMPILERS_OF_C = ("cc", "gcc", "clang")


def missing() -> list[str]:
    """Name what is absent: torch builds C++ for a CPU, Triton builds C with Python.h for a GPU."""
    absent = []
    if not _found("CXX", _COMPILERS):
        absent.append("a C++ compiler")
    if not _found("CC", _COMPILERS_OF_C):
        absent.append("a C compiler")
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        absent.append("Python.h (python3-dev)")
    return absent


def _found(variable: str, names: tuple[str, ...]) -> bool:
    return any(map(shutil.which, filter(None, (os.environ.get(variable), *names))))


needs_compiler = pytest.mark.skipif(
    bool(missing()), reason=f"torch.compile needs what is not installed: {', '.join(missing())}"
)
# Of torch's compiler itself; all but the first come from releases before 2.12.
compiler_warnings = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor:UserWarning",
    "ignore:TensorFloat32 tensor cores:UserWarning",
    "ignore:\\s*Online softmax is disabled:UserWarning",
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning",
)
