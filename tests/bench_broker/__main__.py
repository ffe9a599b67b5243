"""`make bench-broker`: the broker beside websockify and configurable-http-proxy, in one run on one machine.

Only ratios mean anything, and only within a round: each figure is the median of ROUNDS ratios, every round measures all
proxies one after the other. Prints what was measured, the target, and whether it is met; fails when one is missed.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.portal import free_ports

from . import pages, portal, proxies
from .proxies import Running
from .viewer import Direct, Viewer

ROUNDS = int(os.environ.get("ROUNDS", "5"))
BULK = 512 << 20
ROUND_TRIPS = 2000
BURST, SINGLE = 40_000, 2_000
IDLE = {"websockify": 20, "broker": 300}
BODY = 200 << 20
HTTP_SECONDS = 2.0
FILM = 3.0
"""Seconds."""
Figures = dict[str, float]
Figure = tuple[str, float, float | None]
"""What was measured, the value, and its target: below zero one to reach, otherwise one to stay under.

There is none for pointer events that come one by one: nearly all of that is the kernel's, who wakes a process, reads
and writes for each, whatever the process does in between.
"""


def main() -> int:
    if (busy := os.getloadavg()[0]) > 1:
        print(f"other work is going on here (load {busy:.1f}): single rounds may be wrong, their median less so")
    with tempfile.TemporaryDirectory(prefix="visa-bench-broker-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
        rfb = free_ports(6)
        http, first, second, third = rfb + 1, rfb + 2, rfb + 3, rfb + 5
        command = [sys.executable, "-m", "tests.bench_broker.instance", str(rfb), str(http)]
        with (
            proxies.running(command, rfb, folder / "instance.log"),
            portal.broker(folder, third, rfb=rfb, http=http) as broker,
        ):
            with proxies.websockify(first, rfb, folder) as websockify:
                knock = lambda: Viewer(first, protocols=["binary"])  # noqa: E731
                desktops = compare(websockify, knock, broker)
            with proxies.chp(second, http, folder):
                web = compare_pages(second, broker)
    return table([*desktops, *web])


def compare(websockify: Running, knock: Callable[[], Viewer], broker: portal.Broker) -> list[Figure]:
    ours: list[Figures] = []
    watching: list[Figures] = []
    theirs: list[Figures] = []
    for number in range(ROUNDS + 1):
        for figures, process, sit in (
            (theirs, websockify, knock),
            (ours, broker.process, lambda: broker.sit("control")),
            (watching, broker.process, lambda: broker.sit("watch")),
        ):
            viewer = sit()
            try:
                figures.append(one_round(process, viewer))
            finally:
                viewer.close()
        if number:
            show(f"round {number}", {"websockify": theirs[-1], "broker": ours[-1], "watching": watching[-1]})
    del ours[0], watching[0], theirs[0]  # to warm up

    def ratio(figures: list[Figures], name: str) -> float:
        return statistics.median(mine[name] / other[name] for mine, other in zip(figures, theirs, strict=True))

    found = [
        ("CPU per GB, × websockify", ratio(ours, "s/GB"), 0.70),
        ("CPU per GB of a watcher, × websockify", ratio(watching, "s/GB"), 0.75),
        ("throughput, × websockify", ratio(ours, "MB/s"), -1.25),
        ("throughput of a watcher, × websockify", ratio(watching, "MB/s"), -1.25),
        ("round trip p50, × websockify", ratio(ours, "µs round trip"), 0.80),
        ("CPU per pointer event, in bursts, × websockify", ratio(ours, "µs/event in bursts"), 0.10),
        ("the same, one by one", ratio(ours, "µs/event one by one"), None),
    ]
    films, cores = film(broker)
    idle = idle_memory(broker.process, lambda: broker.sit("control"), IDLE["broker"])
    print(f"an idle connection of websockify: {idle_memory(websockify, knock, IDLE['websockify']):.0f} KB")
    return [
        *found,
        ("a film of 46 Mbit/s, × direct", films, -0.95),
        ("the same, % of a core", cores, 3.0),
        ("idle connection, KB", idle, 64),
    ]


def film(broker: portal.Broker) -> tuple[float, float]:
    """What arrives through the broker, against what arrives without it; and what that takes of a core, in percent."""
    rates, cores = [], []
    for _ in range(ROUNDS):
        direct, viewer = Direct(broker.rfb), broker.sit("control")
        before, began = broker.process.processor(), time.perf_counter()
        through = viewer.watch(FILM)
        cores.append(100 * (broker.process.processor() - before) / (time.perf_counter() - began))
        rates.append(through / direct.watch(FILM))
        viewer.close()
        direct.close()
    return statistics.median(rates), statistics.median(cores)


def one_round(process: Running, viewer: Viewer) -> Figures:
    def cost(work: Callable[[], object]) -> float:
        before = process.processor()
        work()
        return process.processor() - before

    figures: Figures = {}
    took = 0.0

    def bulk() -> None:
        nonlocal took
        took = viewer.bulk(BULK)

    figures["s/GB"] = cost(bulk) / (BULK / 1e9)
    figures["MB/s"] = BULK / 1e6 / took
    figures["µs round trip"] = viewer.round_trip(ROUND_TRIPS) * 1e6
    figures["µs/event in bursts"] = cost(lambda: viewer.point(BURST, at_once=100)) / BURST * 1e6
    figures["µs/event one by one"] = cost(lambda: viewer.point(SINGLE, at_once=1, every=0.0005)) / SINGLE * 1e6
    return figures


def idle_memory(process: Running, sit: Callable[[], Viewer], count: int) -> float:
    """KB that each of `count` connections more takes."""
    viewers = [sit() for _ in range(count // 4)]  # what is made once for many is not theirs
    before = process.memory()
    viewers += [sit() for _ in range(count)]
    used = process.memory() - before
    for viewer in viewers:
        viewer.close()
    return used / count / 1024


def compare_pages(chp: int, broker: portal.Broker) -> list[Figure]:
    plain = {"Host": f"127.0.0.1:{chp}"}
    cookie = broker.enter()
    requests, bodies = [], []
    for number in range(ROUNDS + 1):
        rates = [pages.requests_per_second(p, h, HTTP_SECONDS) for p, h in ((chp, plain), (broker.port, cookie))]
        times = [pages.bulk(p, h, BODY) for p, h in ((chp, plain), (broker.port, cookie))]
        if number:
            requests.append(rates[1] / rates[0])
            bodies.append(times[0] / times[1])
            names = ("CHP", "broker")
            show(
                f"round {number}",
                {
                    name: {"requests/s": rate, "MB/s": BODY / 1e6 / time}
                    for name, rate, time in zip(names, rates, times, strict=True)
                },
            )
    return [
        ("HTTP requests per second, × CHP", statistics.median(requests), -1.8),
        ("HTTP body throughput, × CHP", statistics.median(bodies), -3.0),
    ]


def show(title: str, figures: dict[str, Figures]) -> None:
    for name, values in figures.items():
        print(f"{title:8} {name:10} " + "  ".join(f"{value:8.2f} {unit}" for unit, value in values.items()), flush=True)


def table(found: list[Figure]) -> int:
    missed = 0
    print(f"\n{'':48}{'measured':>10}{'target':>10}")
    for name, value, target in found:
        if target is None:
            print(f"{name:48}{value:10.2f}{'none':>10}")
            continue
        met = value >= -target if target < 0 else value <= target
        missed += not met
        sign = "≥" if target < 0 else "≤"
        print(f"{name:48}{value:10.2f}{sign + format(abs(target), '.2f'):>10}  {'met' if met else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
