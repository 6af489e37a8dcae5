"""The site: Zensical turns the staged pages into it, and lets no dead link pass.

Everything is in .build: docs (what is staged), site (what comes out), and Zensical's own cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from deploy import console
from deploy.documentation import staging
from deploy.errors import DeployError

BUILD = ".build"
ADDRESS = "127.0.0.1:8000"
# Seconds between two looks at the sources, while they are shown.
LOOK = 0.5
# "Zensical: Installation" names the least.
PYTHON = (3, 11)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def build(root: Path, mermaid: Path | None = None) -> Path:
    """Build the site, and return its folder. Raises `DeployError` with every dead link."""
    with console.phase("docs", "pages and their links") as phase:
        settings = _prepared(root, mermaid)
        shutil.rmtree(root / BUILD / "site", ignore_errors=True)
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        done = subprocess.run(
            [*command, "--config-file", str(settings)],
            cwd=root,
            env={**os.environ, "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DeployError("docs", _told(done.stdout), "correct the pages in docs/")
        site = root / BUILD / "site"
        phase.result = f"{sum(1 for _ in site.rglob('*.html'))} pages"
    return site


def serve(root: Path, mermaid: Path | None = None) -> None:
    """Show the site at `ADDRESS` and keep it up to date with docs/, until Ctrl-C."""
    settings = _prepared(root, mermaid)
    command = [sys.executable, "-m", "zensical", "serve", "--dev-addr", ADDRESS]
    server = subprocess.Popen([*command, "--config-file", str(settings)], cwd=root)
    try:
        while server.poll() is None:
            time.sleep(LOOK)
            # An editor may be replacing the very file that is read; the next look has it.
            with contextlib.suppress(FileNotFoundError):
                _prepared(root, mermaid)
    finally:
        server.terminate()
        server.wait()
    raise DeployError(ADDRESS, "the preview ended", "its last lines are above")


def _prepared(root: Path, mermaid: Path | None) -> Path:
    """Stage the pages; return the file with the site's settings."""
    if sys.version_info < PYTHON:
        wanted, here = (".".join(map(str, version[:2])) for version in (PYTHON, sys.version_info))
        what = f"the site's generator needs Python {wanted} or newer, and this is {here}"
        raise DeployError("docs", what, "read the pages in docs/ as they are")
    source = root / staging.DOCS / staging.SETTINGS
    text = source.read_text("utf-8")
    folder = root / BUILD / "docs"
    staging.stage(root, folder, _repository(text))
    if mermaid:
        shutil.copyfile(mermaid, folder / "mermaid.min.js")
        text = text.replace("[project]\n", '[project]\nextra_javascript = ["mermaid.min.js"]\n', 1)
    settings = root / BUILD / staging.SETTINGS
    if not settings.is_file() or settings.read_text("utf-8") != text:
        settings.write_text(text, "utf-8")
    return settings


def _repository(settings: str) -> str:
    found = re.search(r'^repo_url = "([^"]+)"', settings, re.MULTILINE)
    return found[1] if found else ""


def _told(output: str) -> str:
    """Return what Zensical says of the pages, without its own traceback."""
    text = COLOURS.sub("", output).partition("Traceback (most recent")[0]
    return "the site cannot be built:\n" + text.removeprefix("Build started\n").rstrip()
