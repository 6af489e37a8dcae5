"""Results as one SVG: for each figure a bar for each variant, and how many times better ours is.

Colours are of a middle lightness and the background is left out, so that it reads on white and on
black; a page shows it as an image, which does not know the page's theme.
"""

from __future__ import annotations

import statistics
from html import escape

from tests.benchmarks.parts import LLM, PLAIN, STREAM, about
from tests.benchmarks.results import Figure, Results
from tests.benchmarks.table import number
from tests.benchmarks.variants import FASTAPI, OURS, PF, TUNED

WIDTH = 860
LABELS = 130
BARS = 400
BAR = 13
STEP = 18
TITLE = 24
GAP = 20
TEXT = "#7d8590"
COLOURS = {PF.name: "#8c959f", FASTAPI.name: "#b08bd9", TUNED.name: "#d29922", OURS.name: "#2f9e63"}
STYLE = "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px"

# What is drawn, in this order, where it was measured: title, figure.
DRAWN = (
    ("Image, compressed, MB", Figure("size", "llm", "image, compressed, MB")),
    ("Start to the first answer, s", Figure("start", "llm", "first score, s")),
    ("LLM flow, 64 clients: requests/s", Figure("load", about(LLM, 64), "requests/s", True)),
    (
        "LLM flow, 256 clients: requests/s",
        Figure("load", about(LLM, 256), "requests/s", True),
    ),
    ("LLM flow, 256 clients: p99, ms", Figure("load", about(LLM, 256), "p99, ms")),
    (
        "LLM flow, 256 clients: requests/s a GB of memory",
        Figure("load", about(LLM, 256), "requests/s a GB", True),
    ),
    (
        "Plain flow, 64 clients: requests/s",
        Figure("load", about(PLAIN, 64), "requests/s", True),
    ),
    (
        "64 streams at once: median time to the first event, ms",
        Figure("stream", STREAM, "p50, ms"),
    ),
)


def svg(results: Results) -> str:
    """Return the picture; figures that were not measured are left out."""
    body: list[str] = []
    top = 6
    for title, figure in DRAWN:
        medians = {
            name: statistics.median(results.of(figure, name))
            for name in COLOURS
            if results.of(figure, name)
        }
        if OURS.name in medians and len(medians) > 1:
            body += _group(top, _titled(title, figure, results), medians)
            top += TITLE + STEP * len(medians) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}" role="img" style="{STYLE}">\n'
        "<title>Our image beside pf's own: medians</title>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _titled(title: str, figure: Figure, results: Results) -> tuple[str, str]:
    """Return the title, and in words how ours compares."""
    printed = []
    for other in (PF.name, TUNED.name):
        ratio = results.ratio(figure, OURS.name, other)
        if ratio:
            printed.append(f"{times(ratio, figure.more)} {other}")
    return title, "ours: " + ", ".join(printed) if printed else ""


def times(ratio: float, more: bool) -> str:
    """Return how ours compares, for example `1/5 of` or `22 ×`; `more` where more is better."""
    if ratio >= 1 or more:
        return f"{number(ratio)} ×"
    return f"1/{number(1 / ratio)} of"


def _group(top: int, title: tuple[str, str], medians: dict[str, float]) -> list[str]:
    longest = max(medians.values())
    lines = [
        _text(0, top + 14, title[0], "font-weight:600"),
        _text(WIDTH, top + 14, title[1], f"font-weight:600;fill:{COLOURS[OURS.name]}", "end"),
    ]
    for row, (name, value) in enumerate(medians.items()):
        y = top + TITLE + row * STEP
        # A bar of nothing would not be seen.
        width = max(2.0, BARS * value / longest)
        bold = "font-weight:600" if name == OURS.name else ""
        lines += [
            _text(LABELS - 8, y + 11, name, bold, "end"),
            f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" '
            f'fill="{COLOURS[name]}"/>',
            _text(LABELS + width + 6, y + 11, number(value), bold),
        ]
    return lines


def _text(x: float, y: float, content: str, style: str = "", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" fill="{TEXT}" style="{style}">'
        f"{escape(content)}</text>"
    )
