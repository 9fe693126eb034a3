"""The command line of the conformance driver."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import signal
import sys
import time
import typing as t

from conformance.catalogue import CACHE
from conformance.catalogue import load
from conformance.catalogue import pick
from conformance.catalogue import Suite
from conformance.report import write
from conformance.runner import end_all
from conformance.runner import probe
from conformance.runner import Run
from conformance.runner import run
from conformance.runner import Side
from conformance.supply import environment
from conformance.supply import pin
from conformance.supply import product
from conformance.supply import sdist
from conformance.supply import SupplyError
from conformance.supply import unpack
from conformance.verdict import absent
from conformance.verdict import compare
from conformance.verdict import lost_tests
from conformance.verdict import Result
from conformance.verdict import store
from conformance.verdict import stored
from conformance.verdict import summary
from conformance.verdict import unexplained
from conformance.verdict import wrong_framework

QUICK_SECONDS = 600
SET_UP_SECONDS = 20
MOST_AGAIN = 20


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    add = parser.add_argument
    add("--suite", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    add("--quick", action="store_true", help="Flask's own, then what fits ten minutes")
    add("--jobs", type=int, default=1, metavar="N", help="suites run side by side (default 1)")
    add("--list", action="store_true", help="name the suites with their stored figures and stop")
    add(
        "--report",
        action="store_true",
        help="render docs/parity.md from the stored results and stop",
    )
    add("--no-store", action="store_true", help="leave the stored results as they are")
    add("--only", choices=("flask", "torsyq"), help="run one side and print its failures")
    add("--pin", action="store_true", help="choose the versions of the environments anew and stop")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for; 1 when a test that passes on Flask fails here unexplained."""
    signal.signal(signal.SIGTERM, stop)
    options = parse(argv)
    everything = load()
    suites = pick(everything, options.suite) if options.suite else everything
    if options.list:
        return _list(suites)
    if options.report:
        write(everything)
        return 0
    if options.pin:
        return _pin(suites)
    if options.only != "flask":
        product()
    if options.only:
        return max(_one_side(suite, options.only) for suite in suites)
    results = _all(suites, options)
    if not options.no_store and not options.quick:
        write(everything)
    return _verdict(results)


def stop(number: int, frame: object) -> t.NoReturn:
    """Leave at once and nothing running: the suites have process groups of their own."""
    end_all()
    os._exit(128 + number)


def _list(suites: list[Suite]) -> int:
    for suite in suites:
        result = stored(suite)
        print(summary(result) if result else f"{suite.name:<22} {suite.version:<11} never run")
    return 0


def _pin(suites: list[Suite]) -> int:
    for suite in suites:
        if not suite.absent:
            pin(suite)
            print(f"{suite.name}: {suite.pins}")
        if not (suite.absent or suite.smoke) and not suite.sha256:
            print(f"{suite.name}: its archive is {_sha256(suite)}")
    return 0


def _sha256(suite: Suite) -> str:
    import hashlib

    return hashlib.sha256(sdist(suite, check=False).read_bytes()).hexdigest()


def _all(suites: list[Suite], options: argparse.Namespace) -> list[Result]:
    ends = time.monotonic() + QUICK_SECONDS if options.quick else None
    with concurrent.futures.ThreadPoolExecutor(max(options.jobs, 1)) as pool:
        return list(pool.map(lambda suite: _suite(suite, ends, not options.no_store), suites))


def _suite(suite: Suite, ends: float | None, keep: bool) -> Result:
    if ends is not None and not _fits(suite, ends):
        return absent(suite, "left out of the quick run")
    result = _attempt(suite)
    if keep and ends is None and not suite.absent:
        store(suite, result)
    print(summary(result), flush=True)
    _tell(result.get("lost", []))
    return result


def _tell(lost: list[Result], most: int = 12) -> None:
    for difference in lost[:most]:
        cause = difference["reason"] or (difference["why"].splitlines() or ["?"])[0][:200]
        print(f"    {difference['torsyq']}: {difference['test']}: {cause}", flush=True)
    if len(lost) > most:
        print(f"    and {len(lost) - most} more: see the stored result", flush=True)


def _fits(suite: Suite, ends: float) -> bool:
    known = stored(suite)
    if suite.slug == "flask":
        return True
    if known is None or "absent" in known:
        return False
    needed = SET_UP_SECONDS + 1.5 * (known["flask"]["seconds"] + known["torsyq"]["seconds"])
    return time.monotonic() + t.cast(float, needed) < ends


def _attempt(suite: Suite) -> Result:
    if suite.absent:
        return absent(suite, suite.absent)
    try:
        flask, torsyq = _run(suite, "flask"), _run(suite, "torsyq")
        lost = lost_tests(flask, torsyq)
        # Suites that wait for clocks and servers fail now and then on a busy machine.
        again = _run(suite, "torsyq", lost) if 0 < len(lost) <= MOST_AGAIN else None
        return compare(suite, flask, torsyq, again)
    except SupplyError as error:
        return absent(suite, str(error))


def _run(suite: Suite, side: Side, only: t.Sequence[str] = ()) -> Run:
    python = environment(suite)
    probe(side, python, suite)
    place = CACHE / "work" / f"{suite.slug}-{side}"
    log = CACHE / "logs" / f"{suite.slug}-{side}{'-again' if only else ''}.log"
    seen = run(suite, side, python, unpack(suite, place), log, only)
    if wrong_framework(seen, side):
        return dataclasses.replace(seen, outcomes={}, ended=f"ran on {seen.framework}")
    return seen


def _one_side(suite: Suite, side: Side) -> int:
    seen = _run(suite, side)
    counts = ", ".join(
        f"{seen.count(kind)} {kind}" for kind in ("passed", "failed", "skipped", "xfailed")
    )
    print(f"{suite.name} on {side}: {counts} in {seen.seconds:.1f} s {seen.ended}")
    for test, outcome in seen.outcomes.items():
        if outcome == "failed":
            print(f"  {test}: {(seen.why.get(test, '').splitlines() or [''])[0][:200]}")
    return int(seen.count("failed") > 0 or bool(seen.ended))


def _verdict(results: list[Result]) -> int:
    ran = [result for result in results if "absent" not in result]
    passed = sum(result["torsyq"]["passed_of_flask"] for result in ran)
    lost = sum(len(unexplained(result)) for result in ran)
    empty = [result["suite"] for result in ran if not result["flask"]["passed"]]
    if empty:
        print(f"Nothing passed on Flask itself in: {', '.join(empty)}")
    # An extension that cannot be had today is told; without Flask's own suite nothing is proved.
    empty += [
        result["suite"] for result in results if result["suite"] == "Flask" and "absent" in result
    ]
    print(f"{passed} passed, {lost} failed")
    return int(bool(lost or empty or not ran))


if __name__ == "__main__":
    sys.exit(main())
