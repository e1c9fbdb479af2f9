"""A real Chromium for tests: what a page is after a script ran in it, what it shows, its print."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 120  # for one start, on a busy machine; a usual one takes two


@dataclass(frozen=True)
class Chromium:
    """A browser without a window, which starts anew for each question."""

    program: str
    folder: Path  # for its profile and the pages that it opens

    def ask(self, page: Path, script: str, width: int = 1280) -> Any:
        """Run a script in a copy of a page, in a frame of this width; return what it returns.

        The page's policy refuses foreign scripts, so the copy has the digest of this one too.
        """
        code = f"const answer = () => {{ {script} }};\nparent.postMessage(answer(), '*');\n"
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        text = page.read_text(encoding="utf-8")
        assert text.count("script-src '") == 1 and text.endswith("</body>\n</html>\n")
        text = text.replace("script-src '", f"script-src 'sha256-{digest}' '")
        copy = self.folder / "copy.html"
        copy.write_text(text.replace("</body>\n", f"<script>{code}</script>\n</body>\n"))
        outside = self.folder / "outside.html"
        outside.write_text(
            "<script>addEventListener('message', (event) => "
            "document.body.setAttribute('data-answer', JSON.stringify(event.data)))</script>"
            f'<body><iframe src="{copy.name}" style="width:{width}px;height:900px"></iframe></body>'
        )
        found = re.search(r'data-answer="([^"]*)"', self._run("--dump-dom", str(outside)))
        assert found is not None, "the script of the test stopped before its end"
        return json.loads(html.unescape(found[1]))

    def pages_on_paper(self, page: Path) -> int:
        """Print to a PDF and count its pages."""
        pdf = self.folder / "printed.pdf"
        self._run("--no-pdf-header-footer", f"--print-to-pdf={pdf}", str(page))
        return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))

    def _run(self, *arguments: str) -> str:
        options = (
            "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
            f"--user-data-dir={self.folder / 'profile'}",
        )  # fmt: skip
        done = subprocess.run(
            [self.program, *options, *arguments], capture_output=True, timeout=_SECONDS, check=True
        )
        return done.stdout.decode()


def chromium(folder: Path, names: Sequence[str] = _NAMES) -> Chromium:
    """Find Chromium, or skip; where HPC_XFER_NEEDS_CHROMIUM is set, as in CI, fail."""
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        reason = "no Chromium here; `make chromium` installs it where apt-get is"
        if os.environ.get("HPC_XFER_NEEDS_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Chromium(program, folder)
