"""Define the events that a worker reports, one JSON line each."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from hpc_xfer.system.limits import bounded_json
from hpc_xfer.system.terminal import json_text

# Exit code of a worker that reported its failure and can use its GPU no more: a fresh one can.
SPENT_EXIT_CODE = 88
Kind = Literal["started", "done", "failed", "held", "interrupted", "pack"]
# Kind -> keys of its JSON line, besides `event`.
_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(get_args(Kind), ("run",)),
    "failed": ("run", "class", "message"),
    "held": ("run", "by"),
    "pack": ("pack",),
}
_FIELDS = {"run": "run", "class": "failure", "message": "message", "by": "by", "pack": "pack"}


@dataclass(frozen=True)
class WorkerEvent:
    """One change in the state of a run, or the end of a pack."""

    kind: Kind
    run: str | None = None  # None: the pack as a whole failed
    failure: str = ""  # class of it, a key of store.retry_policy.RULES
    message: str = ""
    by: dict[str, Any] | None = None  # the lease of the process that works on a held run
    pack: str | None = None  # BATCH/INDEX

    @classmethod
    def parse(cls, line: str) -> "WorkerEvent | None":
        """Return the event of a line; None for any other line, such as a library's print."""
        try:
            content = bounded_json.parse(line)
        except ValueError:
            return None
        if not isinstance(content, dict) or content.get("event") not in get_args(Kind):
            return None
        told = {field: content[key] for key, field in _FIELDS.items() if content.get(key)}
        if any(not isinstance(told[field], dict if field == "by" else str) for field in told):
            return None
        return cls(kind=content["event"], **told)

    def to_json(self) -> str:
        """Return the line that `parse` reads."""
        values: dict[str, Any] = {
            "run": self.run, "class": self.failure, "message": whole_text(self.message),
            "by": self.by, "pack": self.pack,
        }  # fmt: skip
        return json_text({"event": self.kind, **{key: values[key] for key in _KEYS[self.kind]}})


def whole_text(text: str) -> str:
    """Show bytes of file names that are no UTF-8 as escapes: JSON has no place for them."""
    return text.encode(errors="backslashreplace").decode()
