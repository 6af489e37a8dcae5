"""Results as plain aligned tables: a column for each variant, then the ratios."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.benchmarks.results import Figure, Results
from tests.benchmarks.variants import RATIOS

NOTHING = "–"


def text(results: Results) -> str:
    """Return a table for each part and subject: medians, in brackets the extremes."""
    groups = dict.fromkeys((figure.part, figure.subject) for figure in results.values)
    return "\n\n".join(_table(results, part, subject) for part, subject in groups)


def _table(results: Results, part: str, subject: str) -> str:
    figures = [f for f in results.values if (f.part, f.subject) == (part, subject)]
    variants = list(dict.fromkeys(name for f in figures for name in results.values[f]))
    ratios = [pair for pair in RATIOS if set(pair) <= set(variants)]
    head = [f"{part}: {subject}", *variants, *(f"{over}/{under}" for over, under in ratios)]
    rows = [head, *[_row(results, figure, variants, ratios) for figure in figures]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *[row[i].rjust(widths[i]) for i in range(1, len(row))]])
        for row in rows
    )


def _row(
    results: Results,
    figure: Figure,
    variants: Sequence[str],
    ratios: Sequence[tuple[str, str]],
) -> list[str]:
    cells = [cell(results.of(figure, name)) for name in variants]
    return [figure.name, *cells, *[_ratio(results.ratio(figure, *pair)) for pair in ratios]]


def cell(values: Sequence[float]) -> str:
    """Return the median, and the extremes where there is more than one value."""
    if not values:
        return NOTHING
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}–{number(max(values))})"


def number(value: float) -> str:
    """Return `value` with three digits at least, and none behind the point that say nothing."""
    if value == int(value) or value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.2f}"
