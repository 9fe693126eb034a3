"""How the cost of a request grows with the number of routes, and of blueprints."""

from __future__ import annotations

import typing as t

from benchmarks.frameworks import Framework
from benchmarks.frameworks import Pool
from benchmarks.inprocess import calibrate
from benchmarks.inprocess import show
from benchmarks.inprocess import timer
from benchmarks.results import median
from benchmarks.results import Result
from benchmarks.results import store

METHOD = (
    "CPU time per request to dynamic routes at random, {rounds} rounds in which every framework and "
    "size has its turn; medians, divided by Torsyq's with ten routes in the same round"
)
SIZES = (10, 100, 1000, 10000)
PEERS = ("flask", "torsyq", "falcon", "bottle", "starlette")
# More would take the whole run: Falcon and Bottle take minutes to prepare ten thousand routes, and
# Starlette tries its routes one after the other.
LARGEST = {"bottle": 1000, "falcon": 1000, "starlette": 1000}
BLUEPRINTS = (1, 10, 100, 1000)
VARIANTS: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "routes": (SIZES, PEERS),
    "blueprints": (BLUEPRINTS, ("flask", "torsyq")),
}


def run(frameworks: t.Sequence[Framework], rounds: int, batch: float) -> Result:
    """Measure and store, per variant, framework and size, the cost and the time to make the app."""
    names = {framework.name for framework in frameworks}
    found: dict[str, t.Any] = {}
    for variant, (sizes, peers) in VARIANTS.items():
        with Pool() as pool:
            timers = {}
            made: dict[str, dict[str, float]] = {}
            for name in (peer for peer in peers if peer in names):
                for size in sizes:
                    if size <= LARGEST.get(name, size):
                        process = pool(name, variant, size)
                        timers[name, size] = timer(process, "time_random")
                        # With the first request, since some prepare their routes then.
                        first = process("time_random", 1)
                        made.setdefault(name, {})[str(size)] = median([process.started + first])
            counts = {key: calibrate(timer, batch) for key, timer in timers.items()}
            seconds: dict[tuple[str, int], list[float]] = {key: [] for key in timers}
            for _ in range(rounds):
                for key, ask in timers.items():
                    seconds[key].append(ask(counts[key]) / counts[key])
        base = seconds["torsyq", sizes[0]]
        costs: dict[str, dict[str, float]] = {}
        for (name, size), own in seconds.items():
            ratios = [mine / other for mine, other in zip(own, base, strict=True)]
            costs.setdefault(name, {})[str(size)] = median(ratios)
        found[variant] = {"cost": costs, "seconds_to_make": made}
        for name, row in costs.items():
            show(f"{variant} {name}", {key: {"median": value} for key, value in row.items()})
    return store("routes", METHOD.format(rounds=rounds), frameworks, rows=found)
