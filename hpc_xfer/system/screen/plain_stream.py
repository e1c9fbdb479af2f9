"""A text stream through which no control character of a text passes."""

from collections.abc import Iterable
from typing import Any, TextIO

from hpc_xfer.system.screen.output_stream import OutputStream
from hpc_xfer.system.screen.plain_text import plain


class PlainStream:
    """A text stream through which no control character of a text passes: the last door.

    Tracebacks, warnings and errors of argparse reach a terminal without `say`.
    """

    def __init__(self, unfiltered: TextIO | OutputStream) -> None:
        self.unfiltered = unfiltered

    def write(self, text: str) -> int:
        self.unfiltered.write(plain(text, lines=True))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)
