"""The pictures of the documentation, drawn from stored runs.

They stand in the page itself, so they take its colours, light or dark; as files of their own they
follow the system's.
"""

from __future__ import annotations

import math
import typing as t
from html import escape

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.results import Result
from benchmarks.workloads import BY_NAME

_STYLE = """
svg.speed { font: 13px system-ui, sans-serif; max-width: 100%; height: auto; }
svg.speed text { fill: var(--color-foreground-primary, #24292f); }
svg.speed .quiet { fill: var(--color-foreground-secondary, #6a737d); font-size: 12px; }
svg.speed .line { stroke: var(--color-background-border, #d0d7de); }
svg.speed .one { stroke: var(--color-foreground-secondary, #6a737d); }
svg.speed .hollow { fill: var(--color-background-primary, #fff); stroke: #8a8f98; stroke-width: 1.5; }
svg.speed .on { fill: #fff; font-size: 12px; }
@media (prefers-color-scheme: dark) {
  svg.speed:root text { fill: #e6edf3; }
  svg.speed:root .quiet { fill: #9aa4af; }
  svg.speed:root .line { stroke: #3d444d; }
  svg.speed:root .hollow { fill: #0d1117; }
}
"""

# Who has a colour of its own, in the order of the legend; the others are grey.
_COLOURS = {
    "torsyq": "#0d93ad",
    "falcon": "#d97706",
    "starlette": "#8b5cf6",
    "quart": "#db2777",
}
_GREY = "#8a8f98"
_STAGES = ("#0d93ad", "#d97706", "#8b5cf6", "#db2777", "#65a30d", "#dc2626", "#5b6b82")

_LEFT, _RIGHT, _TOP, _ROW = 250, 700, 64, 25
_TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)
_LOW, _HIGH = math.log(0.2), math.log(300)


def workloads(result: Result) -> str:
    """Every workload a row, every framework a dot: how many times as fast as Flask."""
    rows: dict[str, t.Any] = result["rows"]
    bottom = _TOP + _ROW * len(rows)
    parts = [_legend(), *(_tick(tick, bottom) for tick in _TICKS)]
    for n, (name, row) in enumerate(rows.items()):
        parts += _dots(name, row, _TOP + _ROW * n + _ROW / 2)
    return _svg(720, bottom + 12, "How many times as fast as Flask, workload by workload", parts)


def calls(result: Result) -> str:
    """What the Python calls of one request are there for, in Flask and in Torsyq."""
    stages: dict[str, dict[str, int]] = result["stages"]["text"]
    scale = 560 / max(sum(row.values()) for row in stages.values())
    parts = []
    for n, (name, row) in enumerate(stages.items()):
        y = 14 + 52 * n
        parts.append(f'<text x="0" y="{y + 20}">{FRAMEWORKS[name].title}</text>')
        x = 70.0
        for (stage, count), colour in zip(row.items(), _STAGES, strict=True):
            if not count:
                continue
            width = count * scale
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="30" fill="{colour}">'
                f"<title>{escape(stage)}: {count}</title></rect>"
            )
            if width > 22:
                parts.append(
                    f'<text class="on" x="{x + width / 2:.1f}" y="{y + 19}" text-anchor="middle">'
                    f"{count}</text>"
                )
            x += width
        parts.append(f'<text class="quiet" x="{x + 8:.1f}" y="{y + 19}">{sum(row.values())}</text>')
    for n, (stage, colour) in enumerate(zip(stages["flask"], _STAGES, strict=True)):
        x, y = 70 + 150 * (n % 4), 126 + 22 * (n // 4)
        parts.append(f'<rect x="{x}" y="{y}" width="11" height="11" rx="2" fill="{colour}"/>')
        parts.append(f'<text class="quiet" x="{x + 17}" y="{y + 10}">{escape(stage)}</text>')
    return _svg(
        720, 168, "Python calls of one request for a text, by what they are there for", parts
    )


def _legend() -> str:
    parts, x = [], _LEFT - 150
    names = [*_COLOURS, "bare"]
    for name in names:
        parts.append(_dot(name, x, 16, FRAMEWORKS[name].title))
        parts.append(f'<text x="{x + 11}" y="20">{FRAMEWORKS[name].title}</text>')
        x += 34 + 7 * len(FRAMEWORKS[name].title)
    parts.append(f'<circle cx="{x}" cy="16" r="3" fill="{_GREY}"/>')
    parts.append(f'<text x="{x + 9}" y="20">others</text>')
    return "".join(parts)


def _tick(value: float, bottom: float) -> str:
    x = _x(value)
    kind = "one" if value == 1 else "line"
    label = "Flask" if value == 1 else f"{value:g}×"
    return (
        f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" y2="{bottom}"/>'
        f'<text class="quiet" x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle">{label}</text>'
    )


def _dots(name: str, row: dict[str, t.Any], y: float) -> list[str]:
    title = BY_NAME[name].title.replace("`", "")
    parts = [f'<text x="{_LEFT - 20}" y="{y + 4}" text-anchor="end">{escape(title)}</text>']
    # The one that the page is about comes last, to lie on top.
    for framework in sorted(row, key=lambda own: (own in _COLOURS, own == "torsyq")):
        if framework != "flask":
            ratio = row[framework]["median"]
            about = f"{FRAMEWORKS[framework].title}: {ratio:.3g}"
            parts.append(_dot(framework, _x(ratio), y, about))
    return parts


def _dot(framework: str, x: float, y: float, about: str) -> str:
    if framework == "bare":
        shape = 'class="hollow" r="4"'
    else:
        radius = {"torsyq": 6.5}.get(framework, 4 if framework in _COLOURS else 3)
        shape = f'fill="{_COLOURS.get(framework, _GREY)}" r="{radius}"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" {shape}><title>{escape(about)}</title></circle>'


def _x(ratio: float) -> float:
    share = (math.log(ratio) - _LOW) / (_HIGH - _LOW)
    return _LEFT + (_RIGHT - _LEFT) * min(max(share, 0), 1)


def _svg(width: int, height: float, title: str, parts: t.Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg class="speed" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" '
        f'width="{width}" role="img" aria-label="{escape(title)}">\n<style>{_STYLE}</style>\n'
        f"{body}\n</svg>\n"
    )
