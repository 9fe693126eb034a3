"""The table of workloads: every framework in a process of its own, asked in turn."""

from __future__ import annotations

import typing as t

from benchmarks.frameworks import Framework
from benchmarks.frameworks import Pool
from benchmarks.frameworks import Process
from benchmarks.results import median
from benchmarks.results import Result
from benchmarks.results import spread
from benchmarks.results import store
from benchmarks.workloads import ROUTES
from benchmarks.workloads import Workload

METHOD = (
    "CPU time (time.process_time) per request in process; batches of about {batch:.0f} ms, {rounds} "
    "rounds in which every framework has its turn; median of the ratios to {base} in the same round"
)

Timer = t.Callable[[int], float]


def run(
    frameworks: t.Sequence[Framework], workloads: t.Sequence[Workload], rounds: int, batch: float
) -> Result:
    """Check the workloads, time them, and store the ratios to Flask."""
    rows: dict[str, t.Any] = {}
    with Pool() as pool:
        for workload in workloads:
            timers = {}
            for framework in frameworks:
                if workload.name not in framework.missing:
                    process = pool(framework.name, workload.variant, ROUTES)
                    verify(process, workload)
                    timers[framework.name] = timer(process, "time", workload.name)
            rows[workload.name] = rate(timers, "flask", rounds, batch)
            show(workload.name, rows[workload.name])
    method = METHOD.format(batch=batch * 1000, rounds=rounds, base="Flask")
    return store("inprocess", method, frameworks, rows=rows)


def verify(process: Process, workload: Workload) -> None:
    """Refuse to time what does not answer rightly."""
    seen = process("check", workload.name)
    if seen != "right":
        raise RuntimeError(f"{process.name}, {workload.name}: {seen}")


def timer(process: Process, order: str, *args: t.Any) -> Timer:
    """A function that has a process time so many requests."""
    return lambda count: process(order, *args, count)


def rate(timers: dict[str, Timer], base: str, rounds: int, batch: float) -> dict[str, t.Any]:
    """How many times as fast as *base* each one is.

    Every round asks them all, each round beginning with another one; a ratio is taken within its
    round, so that what slows the machine down for a while slows both sides of it.
    """
    counts = {name: calibrate(timer, batch) for name, timer in timers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    order = list(timers)
    for _ in range(rounds):
        for name in order:
            seconds[name].append(timers[name](counts[name]) / counts[name])
        order.append(order.pop(0))
    return {
        name: spread([b / own for b, own in zip(seconds[base], seconds[name], strict=True)])
        | {"microseconds": median([own * 1e6 for own in seconds[name]])}
        for name in timers
    }


def calibrate(timer: Timer, batch: float) -> int:
    """How many requests take about *batch* seconds, found on warm code."""
    count = 2
    timer(count)
    while (took := timer(count)) < batch / 4:
        count *= 4 if took < batch / 16 else 2
    return max(1, round(count * batch / took))


def show(name: str, row: dict[str, t.Any]) -> None:
    """A line on the terminal, while the run goes on."""
    print(f"{name:10}", *(f"{key} {value['median']:.3g}" for key, value in row.items()), flush=True)
