"""Which pre-training transfers best: one YAML file in, Slurm jobs, tables and figures out."""

import os
import sys

__version__ = "0.1.0"


def _leave_the_working_folder() -> None:
    """Take the working folder from where modules are looked for, unless this package lies there.

    `python -m hpc_xfer.launch` puts it before all libraries: a `yaml.py` in a folder where a user
    happens to stand would run as this user. This is the first code of ours that runs. What it
    cannot help: a folder `hpc_xfer` there is taken for this package, and before Python 3.11 a
    `runpy.py` for Python's own; `cd` elsewhere, or `python -P -m`, shuts these doors too.
    """
    try:
        here = os.getcwd()
    except OSError:
        here = ""
    if sys.argv[:1] != ["-m"] or here == os.path.dirname(__path__[0]):
        return
    if sys.path[:1] == [here]:
        del sys.path[0]
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if named != [""] and "" in named:  # as `export PYTHONPATH=$PYTHONPATH:/x` leaves it
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, named))
        sys.path[:] = [each for each in sys.path if each not in ("", here) or here in named]


def _say_ctrl_c_in_a_word() -> None:
    """Show no traceback of our imports where Ctrl-C comes before a command has begun."""
    from typing import Any  # not above, where the working folder could still give its own

    shown = sys.excepthook

    def show(kind: Any, error: Any, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("interrupted\n")
        else:
            shown(kind, error, trace)

    sys.excepthook = show


_leave_the_working_folder()
if sys.argv[:1] == ["-m"] or sys.argv[0].endswith("/hpc_xfer"):  # else it is somebody's library
    _say_ctrl_c_in_a_word()
