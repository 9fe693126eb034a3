"""``python -m benchmarks COMMAND``: measure, or render what was measured."""

from __future__ import annotations

import argparse
import typing as t

from benchmarks import asynchronous
from benchmarks import hops
from benchmarks import imports
from benchmarks import inprocess
from benchmarks import memory
from benchmarks import render
from benchmarks import routes
from benchmarks import served
from benchmarks.frameworks import chosen
from benchmarks.frameworks import FRAMEWORKS
from benchmarks.workloads import BY_NAME


def _install(args: argparse.Namespace) -> None:
    for name in args.only or FRAMEWORKS:
        print(f"{FRAMEWORKS[name].title}: {FRAMEWORKS[name].python}", flush=True)
        FRAMEWORKS[name].install()


def _inprocess(args: argparse.Namespace) -> None:
    workloads = [BY_NAME[name] for name in args.workloads or BY_NAME]
    inprocess.run(chosen(args.only), workloads, args.rounds, args.batch / 1000)


def _async(args: argparse.Namespace) -> None:
    asynchronous.run(chosen(args.only), args.rounds, args.batch / 1000)


def _hops(args: argparse.Namespace) -> None:
    hops.run(chosen(args.only), [BY_NAME[name] for name in args.workloads or BY_NAME])


def _served(args: argparse.Namespace) -> None:
    served.run(chosen(args.only), args.rounds, 2)


def _import(args: argparse.Namespace) -> None:
    imports.run(chosen(args.only), args.rounds)


def _routes(args: argparse.Namespace) -> None:
    routes.run(chosen(args.only), args.rounds, args.batch / 1000)


def _memory(args: argparse.Namespace) -> None:
    memory.run(FRAMEWORKS["torsyq"], 1_000_000)


def _render(args: argparse.Namespace) -> None:
    render.run()


COMMANDS: dict[str, tuple[str, t.Callable[[argparse.Namespace], None], int]] = {
    "install": ("build the peers' environments", _install, 0),
    "inprocess": ("time the workloads in process (about two minutes)", _inprocess, 11),
    "async": ("time the async side (about one minute)", _async, 11),
    "hops": ("count the calls of each workload (seconds)", _hops, 0),
    "served": ("load real servers with wrk (about two minutes)", _served, 5),
    "import": ("time the import and the start, weigh a worker (about one minute)", _import, 7),
    "routes": ("grow the number of routes and blueprints (about one minute)", _routes, 5),
    "memory": ("send a million requests (about one minute)", _memory, 1),
    "render": ("write the stored runs into the documentation", _render, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (text, function, rounds) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--only", nargs="+", choices=FRAMEWORKS, help="these frameworks")
        command.add_argument("--workloads", nargs="+", choices=BY_NAME, help="these workloads")
        command.add_argument("--rounds", type=int, default=rounds, help="more is steadier")
        command.add_argument("--batch", type=float, default=20, help="milliseconds a turn takes")
        command.set_defaults(function=function)
    args = parser.parse_args()
    args.function(args)


if __name__ == "__main__":
    main()
