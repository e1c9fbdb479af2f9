"""Words that a public report must not hold: hosts, users, clusters and folders of a study.

for found in private_words(store, study_dir).found_in(public_folder): ...
"""

import contextlib
import getpass
import html
import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpc_xfer.results.tables import csv_files
from hpc_xfer.store.paths import StudyDir
from hpc_xfer.store.store import Store
from hpc_xfer.store.submission_ledger import read_ledger

# They name nobody, and are words of CSS, of English or of this program.
_OF_NOBODY = frozenset(("", "/", "root", "localhost", "unknown", "none"))
_AROUND = 30  # letters that are shown beside a word
_PATH = re.compile(r"(?<![\w./:&;])/(?:[\w.-]+/)+[\w.-]+")  # of two parts or more
_STYLE = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL)  # of our templates
_TAG = re.compile(r"<(?!!--)[^>]*>")
_SAID = re.compile(r'\b(?:alt|href|aria-label)="([^"]*)"')  # attributes that say something
_STREAM = re.compile(rb"stream\r?\n.*?endstream", re.DOTALL)  # compressed drawing of a PDF
_STRING = re.compile(r"\(((?:[^()\\]|\\.)*)\)")  # of a PDF; all else is its own vocabulary


@dataclass(frozen=True)
class Found:
    """A word in a file of the report."""

    file: str  # in the folder of the report
    word: str
    what: str
    around: str


@dataclass(frozen=True)
class PrivateWords:
    """Words in lower case -> what they name."""

    words: Mapping[str, str]
    allowed: frozenset[str] = frozenset()

    def found_in(self, folder: Path) -> Iterator[Found]:
        """Yield each word once for each file that holds it, or has it in its name."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            text = f"{name}\n{_text(path)}"
            lower = text.lower()
            for word, what in self.words.items():
                if found := re.search(_pattern(word), lower):
                    yield Found(name, word, what, _around(found, text))
            for found in _PATH.finditer(text):
                if found[0].lower() not in self.allowed:
                    yield Found(name, found[0], "a path", _around(found, text))
                    break


def _around(found: re.Match[str], text: str) -> str:
    return " ".join(text[max(found.start() - _AROUND, 0) : found.end() + _AROUND].split())


def _pattern(word: str) -> str:
    """Find a word that is no part of another: `node1` is not in `node12`, but in `node1.lab`."""
    if "/" in word:
        return rf"{re.escape(word)}(?![a-z0-9])"
    return rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])"


def private_words(store: Store, study: StudyDir, allowed: frozenset[str]) -> PrivateWords:
    """List what a report of this study may hold by mistake.

    Args:
        allowed: words that its user declares to mean something else, in lower case.
    """
    words: dict[str, str] = {}

    def add(word: str | None, what: str) -> None:
        word = (word or "").strip().lower()
        # A number is in every table; it is left of an address that is called a host.
        if word not in _OF_NOBODY and word not in allowed and not word.isdigit():
            words.setdefault(word, what)

    for host in (socket.gethostname(), *_hosts_of_records(study)):
        add(host, "a host")
        add(host.partition(".")[0], "a host")
        add(host.partition(".")[2], "the domain of a host")
    for submission in read_ledger(store, study.name).submissions.values():
        add(submission.host, "a host")
        add(submission.host.partition(".")[0], "a host")
        add(submission.user, "a user")
        add(submission.cluster, "a cluster")
        add(submission.root, "the path of a store")
    for user, home in _users():
        add(user, "a user")
        add(home, "a home folder")
    for path in (store.root, store.root.absolute(), store.root.resolve()):
        add(str(path) if path.is_absolute() else None, "the path of the store")
    return PrivateWords(words, allowed)


def _hosts_of_records(study: StudyDir) -> set[str]:
    return {row.get("host", "") for row in csv_files.read(study.summary / "runs.csv")}


def _users() -> Iterator[tuple[str, str]]:
    """Yield name and home folder of whoever runs this, as the system and as the shell say."""
    with contextlib.suppress(KeyError):  # a container may have no such user
        entry = pwd.getpwuid(os.getuid())
        yield entry.pw_name, entry.pw_dir
    with contextlib.suppress(KeyError, OSError):
        yield getpass.getuser(), os.environ.get("HOME", "")


def _text(path: Path) -> str:
    """Return what a file says in words."""
    data = path.read_bytes()
    match path.suffix:
        case ".png":
            return "\n".join(_png_text(data))
        case ".pdf":
            return "\n".join(_STRING.findall(_STREAM.sub(b"", data).decode("latin-1")))
        case ".html" | ".svg":
            return _marked_up_text(data.decode())
        case ".tex":
            return data.decode().replace("\\", "")
        case _:
            return data.decode()


def _marked_up_text(text: str) -> str:
    """Return what stands between tags and in comments, and the attributes that say something."""
    text = _STYLE.sub("", text)
    said = [value for value in _SAID.findall(text) if not value.startswith("data:")]
    return html.unescape("\n".join([_TAG.sub(" ", text), *said]))


def _png_text(data: bytes) -> Iterator[str]:
    """Yield the chunks of a PNG that are no pixels."""
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind not in (b"IHDR", b"IDAT", b"IEND", b"PLTE", b"pHYs"):
            yield data[at + 4 : at + 8 + length].decode("latin-1")
        at += 12 + length
