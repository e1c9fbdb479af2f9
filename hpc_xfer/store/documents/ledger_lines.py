"""Read launches.jsonl: the lines of submissions and of nodes that failed; odd lines are left out.

for line in read_lines(store.study(name).launches): ...      # each is of one of the kinds below

A line of another kind is for people, or of a newer version.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic_core import core_schema

from hpc_xfer.errors import StoreError
from hpc_xfer.store.documents.document import (
    FLAG,
    JOB,
    JOB_NAME,
    KB,
    LINE,
    MB,
    NAME,
    PATH,
    TIME,
    WORD,
    DocumentKind,
    Misfit,
    or_none,
    several,
    shape,
    text,
    whole,
)
from hpc_xfer.system import atomic_files, set_aside
from hpc_xfer.system.limits import bounded_json

_MOST_LINE = 16 * MB  # 200,000 names are shorter
_MOST_FILE = 1024 * MB
_MOST_ELEMENTS = 200_000  # as many as a study may have runs
_NAMED = 3  # odd lines in a sentence
_YEARS = range(1970, 9000)  # in which times can be compared whatever their zones
_NUMBER = text(20, "^[0-9]+$")


def _check_time(value: str) -> str:
    told = datetime.fromisoformat(value)
    if told.tzinfo is None or told.year not in _YEARS:
        raise ValueError("is not a time with its zone")
    return value


_DATE = core_schema.no_info_after_validator_function(_check_time, text(64))
_NAME = {"name": JOB_NAME}
_SHAPES = {
    "intent": {
        **_NAME,
        "kind": text(8, "^(pretrain|finetune|relay)$"),
        "batch": or_none(NAME),
        "elements": or_none(whole(1, _MOST_ELEMENTS)),
        "time": _DATE,
        "host": WORD,
        "user": text(255),
        "lane": or_none(whole(0, 1_000_000)),
    },
    "submitted": {**_NAME, "job": _NUMBER},
    "closed": {**_NAME, "why": text(64, "^[a-z ]+$")},
    "cancelled": {**_NAME, "elements": several(whole(0, _MOST_ELEMENTS), _MOST_ELEMENTS)},
    "confirmed": {"names": several(JOB_NAME, 1_000_000)},
    "hit": {
        "node": text(255, "^[A-Za-z0-9_.-]+$"),  # it goes into --exclude
        "class": text(64, "^[A-Za-z][A-Za-z0-9 _-]*$"),
        "job": JOB,
        "time": _DATE,
    },
}
# Keys that older versions did not write.
_LATER: dict[str, Any] = {
    "intent": {
        "cluster": or_none(WORD), "root": or_none(PATH), "code": or_none(text(64)),
        "stored": or_none(TIME),
    },
    "submitted": {"adopted": FLAG},
    "hit": {"job_name": or_none(LINE)},
}  # fmt: skip
_KINDS = {
    event: DocumentKind(
        "a ledger line", shape({**fields, **_LATER.get(event, {})}, needed=fields), _MOST_LINE
    )
    for event, fields in _SHAPES.items()
}


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a ledger that fit; the others are noted by their numbers.

    Raises:
        StoreError: the disk failed.
    """
    odd: list[int] = []
    try:
        with open(atomic_files.open_plainly(path), "rb", buffering=256 * KB) as file:
            for number, line in enumerate(_raw_lines(file), start=1):
                try:
                    found = _parsed(line) if line.strip() else None
                except ValueError:
                    odd.append(number)
                    continue
                if found is not None:
                    yield found
    except (FileNotFoundError, NotADirectoryError):
        return
    except atomic_files.OddFile as why:
        set_aside.note(path, str(why))
    except PermissionError as error:
        set_aside.note(path, f"cannot be read ({error.strerror})")
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); try again") from error
    if odd:
        set_aside.note(path, _sentence(odd))


def _raw_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines; one that is too long is cut off, which is no JSON then."""
    read = 0
    while read < _MOST_FILE and (line := file.readline(_MOST_LINE)):
        read += len(line)
        yield line
        while not line.endswith(b"\n") and (line := file.readline(_MOST_LINE)):
            read += len(line)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Read a line; None for one of another kind.

    Raises:
        ValueError: it is not a line of a ledger.
    """
    content = bounded_json.parse(line)
    if not isinstance(content, dict) or not isinstance(content.get("event"), str):
        raise Misfit("is not a ledger line")
    kind = _KINDS.get(content["event"])
    return None if kind is None else kind.fitted(content)


def _sentence(odd: list[int]) -> str:
    first = ", ".join(map(str, odd[:_NAMED]))
    if len(odd) == 1:
        return f"line {first} is not a ledger line"
    more = f" and {len(odd) - _NAMED:,} more" if len(odd) > _NAMED else ""
    return f"lines {first}{more} are not ledger lines"
