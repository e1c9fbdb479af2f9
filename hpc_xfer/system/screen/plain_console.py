"""A console of rich that shows text of others as text; its own colours and moves stay."""

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from hpc_xfer.system.screen.plain_text import plain


class PlainConsole(Console):
    """Prints strings and cells of tables in one line each; a `Text` may have several."""

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the command, as where it prints without a console; rich exits with 1."""
        raise sys.exc_info()[1] or BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Make a text of a string: here its width is measured, so here its escapes are written."""
        return super().render_str(plain(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is printed; segments of rich's own control codes are marked as such."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = plain(segment.text, lines=True)
                if not self.encoding.startswith("utf"):
                    text = _within(text, self.encoding)
                yield Segment(text, segment.style)


_NARROW = str.maketrans({"\u2026": "~"})  # rich marks with an ellipsis where it has cut a text


def _within(text: str, encoding: str) -> str:
    """Write characters that an encoding lacks as their escape, as Python does on stderr."""
    text = text.translate(_NARROW)
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:  # an encoding that Python does not know
        return text.encode("ascii", "backslashreplace").decode()


def line(text: str, **options: Any) -> Text:
    """Make a `Text` of one line; see rich.text.Text for the options."""
    return Text(plain(text), **options)
