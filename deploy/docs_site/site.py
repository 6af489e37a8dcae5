"""Build the site with Zensical, which fails on dead links, or serve a preview of it.

All files are in .build: docs (staged pages), site (the result), and Zensical's own cache.
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

from deploy.core import progress
from deploy.core.errors import DeployError
from deploy.docs_site import staging

BUILD_FOLDER = ".build"
PREVIEW_ADDRESS = "127.0.0.1:8000"
# Seconds between two checks of the sources during a preview.
POLL_INTERVAL = 0.5
# The minimum that "Zensical: Installation" names.
MIN_PYTHON = (3, 11)
ANSI_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def build(root: Path, mermaid: Path | None = None) -> Path:
    """Build the site; return its folder. Raise `DeployError` with every dead link."""
    with progress.phase("docs", "pages and their links") as phase:
        settings = _stage_site(root, mermaid)
        shutil.rmtree(root / BUILD_FOLDER / "site", ignore_errors=True)
        command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
        completed = subprocess.run(
            [*command, "--config-file", str(settings)],
            cwd=root,
            env={**os.environ, "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise DeployError("docs", _clean_output(completed.stdout), "correct the pages in docs/")
        site = root / BUILD_FOLDER / "site"
        phase.result = f"{sum(1 for _ in site.rglob('*.html'))} pages"
    return site


def serve(root: Path, mermaid: Path | None = None) -> None:
    """Serve the site at `PREVIEW_ADDRESS` and keep it up to date with docs/, until Ctrl-C."""
    settings = _stage_site(root, mermaid)
    command = [sys.executable, "-m", "zensical", "serve", "--dev-addr", PREVIEW_ADDRESS]
    server = subprocess.Popen([*command, "--config-file", str(settings)], cwd=root)
    try:
        while server.poll() is None:
            time.sleep(POLL_INTERVAL)
            # An editor may be replacing a file at this moment; the next check finds it.
            with contextlib.suppress(FileNotFoundError):
                _stage_site(root, mermaid)
    finally:
        server.terminate()
        server.wait()
    raise DeployError(PREVIEW_ADDRESS, "the preview ended", "its last lines are above")


def _stage_site(root: Path, mermaid: Path | None) -> Path:
    """Stage the pages; return the file with the site's settings."""
    if sys.version_info < MIN_PYTHON:
        required, current = (
            ".".join(map(str, version[:2])) for version in (MIN_PYTHON, sys.version_info)
        )
        message = f"the site's generator needs Python {required} or newer, and this is {current}"
        raise DeployError("docs", message, "read the pages in docs/ as they are")
    source = root / staging.DOCS / staging.SETTINGS
    text = source.read_text("utf-8")
    folder = root / BUILD_FOLDER / "docs"
    staging.stage_pages(root, folder, _read_repository_url(text))
    if mermaid:
        shutil.copyfile(mermaid, folder / "mermaid.min.js")
        text = text.replace("[project]\n", '[project]\nextra_javascript = ["mermaid.min.js"]\n', 1)
    settings = root / BUILD_FOLDER / staging.SETTINGS
    if not settings.is_file() or settings.read_text("utf-8") != text:
        settings.write_text(text, "utf-8")
    return settings


def _read_repository_url(settings: str) -> str:
    match = re.search(r'^repo_url = "([^"]+)"', settings, re.MULTILINE)
    return match[1] if match else ""


def _clean_output(output: str) -> str:
    """Return Zensical's messages about the pages, without its traceback."""
    text = ANSI_COLOURS.sub("", output).partition("Traceback (most recent")[0]
    return "the site cannot be built:\n" + text.removeprefix("Build started\n").rstrip()
