"""Define the events that a worker reports, one JSON line each."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

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
        with contextlib.suppress(ValueError):
            content = json.loads(line)
            if isinstance(content, dict) and content.get("event") in get_args(Kind):
                return cls(
                    kind=content["event"],
                    run=content.get("run"),
                    failure=content.get("class", ""),
                    message=content.get("message", ""),
                    by=content.get("by"),
                    pack=content.get("pack"),
                )
        return None

    def to_json(self) -> str:
        """Return the line that `parse` reads."""
        values: dict[str, Any] = {
            "run": self.run, "class": self.failure, "message": self.message,
            "by": self.by, "pack": self.pack,
        }  # fmt: skip
        return json_text({"event": self.kind, **{key: values[key] for key in _KEYS[self.kind]}})
