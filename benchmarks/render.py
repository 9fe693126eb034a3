"""Writes the stored runs into the documentation: tables between marks, and the pictures."""

from __future__ import annotations

import re
import typing as t

from benchmarks import pictures
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.results import load
from benchmarks.results import Result
from benchmarks.workloads import BY_NAME
from benchmarks.workloads import ROOT

FOLDER = ROOT.parent / "docs" / "explanation"
PAGE = FOLDER / "speed.md"
PICTURES: dict[str, tuple[str, t.Callable[[Result], str]]] = {
    "speed_workloads.svg": ("inprocess", pictures.workloads),
    "speed_calls.svg": ("hops", pictures.calls),
}
_block = re.compile(r"(<!-- (\w+): written by [^>]+ -->\n).*?(<!-- end -->)", re.DOTALL)


def run() -> None:
    """Write page and pictures anew."""
    for path, text in rendered().items():
        (FOLDER / path).write_text(text, encoding="utf-8")


def rendered() -> dict[str, str]:
    """The files of the documentation that show measured numbers, as they should be."""
    files = {}
    for path, (name, draw) in PICTURES.items():
        if (result := load(name)) is not None:
            files[path] = draw(result)
    files[PAGE.name] = page(PAGE.read_text(encoding="utf-8"))
    return files


def page(text: str) -> str:
    """The page with every marked block written from its run."""

    def fill(match: re.Match[str]) -> str:
        result = load(match[2])
        if result is None:
            raise LookupError(f"No run is stored as 'benchmarks/results/{match[2]}.json'.")
        return f"{match[1]}\n{TABLES[match[2]](result)}\n\n{about(result)}\n\n{match[3]}"

    return _block.sub(fill, text)


def about(result: Result) -> str:
    """How and on what a run was made."""
    packages = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return f"*{result['method']}. {result['date']}, {result['machine']}; {packages}.*"


def table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    """A table of Markdown, its numbers to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    """A ratio to two digits that count."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def _ratios(rows: dict[str, t.Any], titles: dict[str, str], skip: str | None) -> str:
    present = [name for name in FRAMEWORKS if any(name in row for row in rows.values())]
    present.sort(key=lambda name: name != "torsyq")
    shown = [name for name in present if name != skip]
    head = ["", *(FRAMEWORKS[name].title for name in shown)]
    return table(
        head,
        (
            [titles[key], *(number(row.get(name, {}).get("median")) for name in shown)]
            for key, row in rows.items()
        ),
    )


def inprocess(result: Result) -> str:
    titles = {name: workload.title for name, workload in BY_NAME.items()}
    return _ratios(result["rows"], titles, "flask")


def elsewhere(result: Result) -> str:
    """The same run on another machine, beside what tells how that one differs."""
    names = "torsyq", "bare", "falcon"
    rows = (
        [BY_NAME[key].title, *(number(row.get(name, {}).get("median")) for name in names)]
        for key, row in result["rows"].items()
    )
    return table(["", *(FRAMEWORKS[name].title for name in names)], rows)


def hops(result: Result) -> str:
    names = [name for name in FRAMEWORKS if name in result["rows"]["text"]]
    names.sort(key=lambda name: name != "torsyq")
    rows = (
        [BY_NAME[key].title, *(str(row.get(name, "–")) for name in names)]
        for key, row in result["rows"].items()
    )
    return table(["", *(FRAMEWORKS[name].title for name in names)], rows)


def served(result: Result) -> str:
    names = [name for name in ("torsyq", "falcon", "bare") if name in result["rows"]["text"]]
    rows = [
        [f"{title}, {kind}", *(number(row[name][key]) for name in names)]
        for title, row in result["rows"].items()
        for kind, key in (("by CPU time", "median"), ("by the clock", "by_clock"))
    ]
    return table(["", *(FRAMEWORKS[name].title for name in names)], rows)


def imports(result: Result) -> str:
    rows = [
        [
            FRAMEWORKS[name].title,
            *(f"{row[key]['median']:.2f}" for key in ("import", "start", "memory")),
            str(row["modules"]),
        ]
        for name, row in result["rows"].items()
    ]
    order = {title.title: n for n, title in enumerate(FRAMEWORKS.values())}
    rows.sort(key=lambda row: order[row[0]])
    return table(["Flask = 1", "import", "start", "memory", "modules loaded"], rows)


def routes(result: Result) -> str:
    blocks = []
    for variant, found in result["rows"].items():
        costs: dict[str, dict[str, float]] = found["cost"]
        sizes = list(costs["torsyq"])
        rows = [
            [FRAMEWORKS[name].title, *(number(row.get(size)) for size in sizes)]
            for name, row in costs.items()
        ]
        blocks.append(table([variant, *(f"{int(size):,}" for size in sizes)], rows))
    return "\n\n".join(blocks)


def live(result: Result) -> str:
    titles = {
        "text": "async view, text",
        "json": "async view, JSON",
        "sync": "sync view, text",
        "websocket": "a message over a WebSocket, echoed",
        "events": f"an event to {result['clients']:,} clients",
    }
    rows = {name: row for name, row in result["rows"].items() if name in titles}
    wsgi = number(result["rows"]["wsgi"]["torsyq"]["median"])
    note = f"An async view under WSGI costs Flask {wsgi} times what it costs Torsyq."
    return f"{_ratios(rows, titles, 'quart')}\n\n{note}"


def memory(result: Result) -> str:
    sizes = [size / 2**20 for size in result["rows"]["resident"]]
    left = sum(result["rows"]["cycles"].values())
    return (
        f"After the first requests the process held {sizes[0]:.1f} MB, after a tenth of the million "
        f"{sizes[1]:.1f} MB, after all of it {sizes[-1]:.1f} MB. Objects that only the cycle "
        f"collector could free, over all workloads: {left}."
    )


TABLES: dict[str, t.Callable[[Result], str]] = {
    "inprocess": inprocess,
    "elsewhere": elsewhere,
    "hops": hops,
    "served": served,
    "import": imports,
    "routes": routes,
    "async": live,
    "memory": memory,
}
