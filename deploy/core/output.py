"""Results on standard output: tables for people, JSON for programs.

In a CI job, a result with a title is also added to the summary page of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.core import ci_system, markdown, progress

# Sections for the summary page of the run, in Markdown.
_summary_sections: list[str] = []


def show(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] = (),
    *,
    title: str = "",
    as_json: bool = False,
    data: Any = None,
    empty: str = "",
) -> None:
    """Print `rows` as a table or as JSON.

    `data` replaces the rows in JSON, where it holds more than they do. With a `title` the rows are
    also added to the summary page of the run. `empty` is printed if there are no rows.
    """
    if as_json:
        print_json(rows if data is None else data)
    elif rows:
        print_table(rows, columns)
    elif empty:
        print(empty)
    if rows and title:
        add_table(rows, columns, title)
    elif empty and title:
        add_summary(title, markdown.escape_text(empty))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Print the `columns` of `rows`, aligned; without `columns`, the keys of the first row."""
    if not rows:
        return
    cells = _cells(rows, columns)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(ci_system.escape_commands(line.rstrip()))


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    text = json.dumps(value, indent=2, default=str)
    # Output that contains CI commands is escaped within JSON: the parsed values stay the same.
    safe = ci_system.escape_commands(text) == text
    print(text if safe else text.replace("##", "#\\u0023"))


def add_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str) -> None:
    """Add `rows` as a table to the summary page of the run; do nothing if there are none."""
    if rows:
        heads, *cells = _cells(rows, columns)
        add_summary(title, markdown.table(heads, cells))


def add_summary(title: str, content: str) -> None:
    """Add `content`, which is Markdown, to the summary page of the run."""
    _summary_sections.append(markdown.section(title, content))


def send_summary(task: str) -> None:
    """Send the collected sections and the duration of each phase of `task` to the summary page."""
    if timings := progress.take_timings():
        rows = markdown.table(("flow", "phase", "what", "took"), timings)
        _summary_sections.append(markdown.details(f"inv {task}: phases", rows))
    if _summary_sections:
        ci_system.append_summary(*_summary_sections)
    _summary_sections.clear()


def _cells(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[list[str]]:
    heads = list(columns or rows[0])
    return [heads, *[[_cell(row[head]) for head in heads] for row in rows]]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_cell(inner)}" for key, inner in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(_cell(inner) for inner in value) or "-"
    return "-" if value in (None, "") else str(value)
