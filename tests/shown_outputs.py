"""Compare what a page shows below `$ command` with what the command prints.

for command, shown in typed(fence):
    assert fits(shown, printed)
"""

import re

# What differs from one machine, commit or clock to the next stands for itself.
_VARIES = [
    (r"\(commit \w+(, changed since)?\)|\(commit not from a checkout\)", "(commit C)"),
    (r"Python \d+\.\d+\.\d+\w*", "Python P"),
]


def typed(fence: str) -> list[tuple[str, list[str]]]:
    """The commands of a block, each with the lines that the page shows below it."""
    found: list[tuple[str, list[str]]] = []
    for line in fence.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line.rstrip())
    return found


def fits(shown: list[str], printed: list[str]) -> bool:
    """Compare line by line; a line `...` stands for any number of lines."""
    if not shown:
        return not printed
    if shown[0] == "...":
        return any(fits(shown[1:], printed[i:]) for i in range(len(printed) + 1))
    return bool(printed) and same(shown[0], printed[0]) and fits(shown[1:], printed[1:])


def same(shown: str, printed: str) -> bool:
    """Compare two lines but for versions, commits and the machine's own numbers."""
    return _settled(shown) == _settled(printed)


def _settled(line: str) -> str:
    for pattern, name in _VARIES:
        line = re.sub(pattern, name, line)
    if line.startswith("│"):  # sizes on disk, in a table as wide as they need
        line = re.sub(r"[\d,.]+ [kMG]?B\b", "SIZE", line)
        line = re.sub(r" +\d[\d,]* │", " COUNT │", re.sub(" +", " ", line))
    return line
