"""The frame of an HTML page in one file: no network, no script, light and dark, phone and print."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

_CSS = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60666d; --line: #e2e5e9;
  --back: #ffffff; --card: #f6f7f9; --accent: #0072b2; --bad: #b3361c; --good: #067a57; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa1a9; --line: #343a41;
  --back: #15181b; --card: #1e2226; --accent: #6cb8ea; --bad: #ff8a70; --good: #4fc59b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: .2rem 0 .8rem; text-wrap: balance; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .7rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p, li { max-width: 46rem; } p { margin: .5rem 0; } ul { padding-left: 1.2rem; }
.over { color: var(--soft); font-size: .85rem; letter-spacing: .02em; }
.lead { font-size: 1.05rem; } .soft { color: var(--soft); font-size: .88rem; }
.badges { display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; margin: 1rem 0; }
.badges li { list-style: none; background: var(--card); border: 1px solid var(--line);
  border-radius: 999px; padding: .15rem .75rem; font-size: .88rem; }
.badges .bad { color: var(--bad); border-color: currentColor; }
.badges .good { color: var(--good); border-color: currentColor; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
tbody th { font-weight: 500; } table.text td { text-align: left; }
table.text td:last-child { white-space: normal; min-width: 16rem; }
table.text th { text-align: left; }
figure { margin: 1.4rem 0; } figure img { display: block; max-width: 100%; height: auto;
  background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: .6rem; }
figcaption { margin-top: .5rem; color: var(--soft); font-size: .88rem; max-width: 46rem; }
details { margin: .7rem 0; } summary { cursor: pointer; color: var(--accent); }
.bar { display: inline-block; height: .7rem; min-width: 1px; background: var(--accent);
  border-radius: 2px; vertical-align: baseline; }
.bad-text { color: var(--bad); }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
@media (max-width: 40rem) { main { padding: 1.2rem .9rem 3rem; } h1 { font-size: 1.4rem; }
  th, td { padding: .3rem .55rem; } figure { overflow-x: auto; }
  figure img { min-width: 36rem; padding: .3rem; } }
@media print { main { max-width: none; padding: 0; } h2 { break-after: avoid; }
  figure, table { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """The whole document; `body` is HTML, whose text the caller has escaped."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    return f"<p{_kind(kind)}>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def badges(items: Iterable[tuple[str, str]]) -> str:
    """Short facts in a row: (text, good | bad | nothing)."""
    return (
        '<ul class="badges">'
        + "".join(f"<li{_kind(kind)}>{escape(text)}</li>" for text, kind in items)
        + "</ul>"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Scrolls sideways where it is too wide; the cells of `rows` are HTML already.

    Args:
        header: text.
        rows: of as many cells; the first names the row.
        kind: `text` for left-aligned cells.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table{_kind(kind)}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def picture(svg: Path, title: str, caption: str) -> str:
    """The file itself is in the page; as an image, so that its names cannot clash with others."""
    data = base64.b64encode(svg.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(title)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption></figure>"
    )


def details(summary: str, body: str, shown: bool = False) -> str:
    opened = " open" if shown else ""
    return f"<details{opened}><summary>{escape(summary)}</summary>{body}</details>"


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
