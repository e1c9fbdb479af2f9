"""List every error message of the package side by side, to be read in one go.

    python -m tests.messages
    python -m tests.messages --changed-since main     # only those that main does not have
    python -m tests.messages --json

Read from the source, not collected at run time: what an f-string fills in is shown as {…}.
"""

import argparse
import ast
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "hpc_xfer"
HOLE = "{…}"
# Not errors, but read like them: advice of `doctor`, findings of `shards check`.
RESULTS = {"CheckResult", "Problem"}
# `a.error(text)` and `sys.exit(text)` end a command with exit code 2 and 1.
ENDS = {"error", "exit"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Message:
    kind: str  # the class that is raised, `usage`, ConfigError (of a grid or site file), `failure`
    place: str  # file:line
    text: str


def of_tree(root: Path = ROOT) -> list[Message]:
    """Return the messages of the files as they are."""
    paths = sorted((root / PACKAGE).rglob("*.py"))
    return of_sources({str(p.relative_to(root)): p.read_text(encoding="utf-8") for p in paths})


def of_revision(revision: str) -> list[Message]:
    """Return the messages of a commit."""
    call = ["git", "archive", revision, PACKAGE]
    done = subprocess.run(call, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        members = [member for member in tar if member.name.endswith(".py")]
        files = {m.name: file.read() for m in members if (file := tar.extractfile(m)) is not None}
    return of_sources({name: data.decode() for name, data in files.items()})


def of_sources(sources: Mapping[str, str]) -> list[Message]:
    """Return the messages of files by name, sorted by class."""
    found = {
        Message(kind, f"{name}:{line}", text)
        for name, source in sources.items()
        for kind, line, text in _Finder(ast.parse(source), _pair_of(name)).found()
        if " " in text.replace(HOLE, "").strip()  # a bare {…} passes another message on
    }
    return sorted(found)


class _Finder:
    """The messages of one file."""

    def __init__(self, module: ast.Module, pair: str) -> None:
        self.module = module
        self.pair = pair
        self.around: dict[ast.AST, Function] = {}
        for function in ast.walk(module):
            if isinstance(function, Function):
                self.around |= dict.fromkeys(ast.walk(function), function)  # the innermost is last

    def found(self) -> Iterator[tuple[str, int, str]]:
        """Class, line and text of each."""
        for node in ast.walk(self.module):
            for kind, expression in _messages(node, self.pair):
                for text in self.texts(expression):
                    yield kind, expression.lineno, text

    def texts(self, node: ast.expr) -> list[str]:
        """Return what an expression may say: each side of an `if`, each value of a variable."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=values):
                return ["".join(self._piece(value) for value in values)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return [a + b for a in self.texts(left) for b in self.texts(right)]
            case ast.BoolOp(values=values):
                return [text for value in values for text in self.texts(value)]
            case ast.IfExp(body=body, orelse=orelse):
                return self.texts(body) + self.texts(orelse)
            case ast.Name(id=name) if node in self.around:
                values = [*_assigned(self.around[node], name)]
                return [text for value in values for text in self.texts(value)] or [HOLE]
        return [HOLE]

    def _piece(self, value: ast.expr) -> str:
        return str(value.value) if isinstance(value, ast.Constant) else HOLE


def _pair_of(name: str) -> str:
    """Return what a pair that ends in a sentence is in this file: (key path, sentence), ..."""
    folders = {"config": "ConfigError", "study": "ConfigError", "execution": "failure"}
    return folders.get(name.split("/")[1], "")


def _messages(node: ast.AST, pair: str) -> Iterator[tuple[str, ast.expr]]:
    """Class and text of what a node raises, says or returns as a mistake."""
    match node:
        case ast.Call(func=ast.Attribute(attr=attr), args=[text]) if attr in ENDS:
            yield "usage", text
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name), args=[_, *_] as args):
            if name in RESULTS:
                yield from ((name, text) for text in args[1:])
            elif _is_error(name):
                yield name, args[0]
        case ast.Tuple(elts=[ast.Tuple() | ast.Name() | ast.Constant(), text]) if pair:
            if isinstance(text, ast.JoinedStr | ast.Constant):
                yield pair, text


def _is_error(name: str) -> bool:
    known = {"ClaimLost", "Diverged", "Interrupted", "SubmitLimit"}
    return name in known or (name[:1].isupper() and name.endswith("Error"))


def _assigned(function: Function, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value
            case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                yield value


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.messages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--changed-since", metavar="REV", help="only texts that REV does not have")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    args = parser.parse_args()
    found = of_tree()
    if args.changed_since:
        old = {(message.kind, message.text) for message in of_revision(args.changed_since)}
        found = [message for message in found if (message.kind, message.text) not in old]
    if args.json:
        print(json.dumps([asdict(message) for message in found], indent=2, ensure_ascii=False))
        return
    for message in found:
        print(f"{message.kind}  {message.place}\n    {message.text}")


if __name__ == "__main__":
    main()
