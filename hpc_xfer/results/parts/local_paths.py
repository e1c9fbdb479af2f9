"""Shorten the paths in a message, so that a table shows none of this machine.

    shortened("/data/laion/0.tar: broken", store)  ->  ".../0.tar: broken"

A path in the store is shown from there on.
"""

import re
from pathlib import Path

# /a/b, //a/b, file:///a/b, ~/a, ~me/a, ../a; a word before the slash makes `ViT-B/16` none.
_START = r"(?:file:/+|(?<![\w./:])/{2,}|(?<![\w./])/(?!/)|(?<![\w./])\.\./|(?<![\w./])~\w*/)"
_QUOTED = re.compile(rf"(['\"`])({_START}[^'\"`\n]+)\1")  # as Python quotes one, with its spaces
_BARE = re.compile(rf"{_START}[^\s'\"`,;:()\[\]<>|]+")
HIDDEN = "[path]"


def shortened(text: str, root: Path) -> str:
    """Return the text with paths from the store on, and of other paths the last part alone."""
    if "/" not in text:
        return text
    roots = {f"{root}/", f"{root.absolute()}/", f"{root.resolve()}/"}

    def short(path: str) -> str:
        for known in roots:
            if path.startswith(known):
                return path.removeprefix(known)
        return f".../{path.rstrip('/').rpartition('/')[2]}"

    text = _QUOTED.sub(lambda found: f"{found[1]}{short(found[2])}{found[1]}", text)
    return _BARE.sub(lambda found: short(found[0]), text)


def hidden(text: str) -> str:
    """Return the text without any path."""
    if "/" not in text:
        return text
    return _BARE.sub(HIDDEN, _QUOTED.sub(HIDDEN, text))
