"""Every error message can be read by a tired person: one sentence, plain words."""

import re
from collections.abc import Iterator

from tests import messages
from tests.messages import HOLE, Message

MESSAGES = messages.of_tree()
LONGEST = 240
# Words that do not stand in a message (patterns) -> what to say instead.
REFUSED = {
    r"mend": "fix",
    r"stands twice": "duplicate key",
    r"(?<!there )is no (?!longer)": "is not a",
    r"are not well": "checks failed",
    r"makes? no step": "gives zero steps per epoch",
    r"what Slurm does not take": "characters not allowed in an sbatch option",
    r"tried and lost": "counts as the worst trial",
    r"reasons that pass": "transient failures",
    r"hand(s|ed)? in": "submit",
    r"(comes?|came) of (it|this)": "result",
    r"launches too": "another launch is in progress",
    r"at work": "running",
    r"tells?|told": "says, reports",
    r"bury|buried|lanes?|pulse|guests?": "the field's word",
}


def test_messages_of_every_kind_are_found() -> None:
    found = {(message.kind, message.text) for message in MESSAGES}
    assert ("usage", f"--jobs must be 1 or more, got {HOLE}") in found
    assert ("Interrupted", f"stopped at step {HOLE} of {HOLE}") in found
    kinds = {message.kind for message in MESSAGES}
    assert kinds >= {"ConfigError", "StudyError", "DataError", "StoreError", "SlurmError"}


def test_a_message_in_a_variable_or_one_side_of_an_if_is_found() -> None:
    source = """
def f(x):
    what = f"{x} is too long" if x else "it is empty"
    raise DataError(f"{x}: " + what)
"""
    assert messages.of_sources({"hpc_xfer/a.py": source}) == [
        Message("DataError", "hpc_xfer/a.py:4", f"{HOLE}: it is empty"),
        Message("DataError", "hpc_xfer/a.py:4", f"{HOLE}: {HOLE} is too long"),
    ]


def objections(text: str) -> Iterator[str]:
    if len(text) > LONGEST:
        yield f"has {len(text)} characters"
    if re.search(r"(?<!\.\.)\.$", text):
        yield "ends with a period"
    if re.search(r"[a-z)]\. [A-Z]", text):
        yield "is more than one sentence"
    if re.match(r"[A-Z]\w*(Error|Exception)\b", text):
        yield "begins with a class of Python"
    for pattern, instead in REFUSED.items():
        if found := re.search(rf"\b({pattern})\b", text):
            yield f"says {found.group()!r}; say {instead!r}"


def test_a_message_is_one_sentence_in_plain_words() -> None:
    found = [f"{m.place}: {m.text}: {why}" for m in MESSAGES for why in objections(m.text)]
    assert "\n".join(found) == ""
