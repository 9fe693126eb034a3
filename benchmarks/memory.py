"""A million requests in one process: does it grow?"""

from __future__ import annotations

import typing as t

from benchmarks.frameworks import Framework
from benchmarks.frameworks import Pool
from benchmarks.results import Result
from benchmarks.results import store
from benchmarks.workloads import BY_NAME
from benchmarks.workloads import ROUTES

METHOD = (
    "resident memory of one process, first after {warm} requests, then ten times more while it "
    "answers {count} in all, of these workloads in turn: {names}; and how many objects only the "
    "cycle collector could free after a thousand requests of each workload"
)
NAMES = ("text", "user", "args", "form", "echo", "cookie", "urls", "redirect", "404", "stream")
WARM = 20_000


def run(framework: Framework, count: int) -> Result:
    """Send the requests and store the sizes."""
    part = count // 10 // len(NAMES)
    with Pool() as pool:
        process = pool(framework.name, "main")
        for name in NAMES:
            process("time", name, WARM // len(NAMES))
        sizes = [process("memory")]
        for _ in range(10):
            for name in NAMES:
                process("time", name, part)
            sizes.append(process("memory"))
            print(f"{sizes[-1] / 2**20:.2f} MB", flush=True)
        cycles = {
            name: pool(framework.name, workload.variant, ROUTES)("collected", name, 1000)
            for name, workload in BY_NAME.items()
        }
        print(cycles)
    method = METHOD.format(count=f"{count:,}", warm=f"{WARM:,}", names=", ".join(NAMES))
    rows: dict[str, t.Any] = {
        "resident": sizes,
        "cycles": cycles,
        "requests": part * 10 * len(NAMES),
    }
    return store("memory", method, [framework], rows=rows)
