#!/usr/bin/env python3
"""The gateway beside nginx and haproxy (Debian's), in the same run on the same backend: what it adds to a request's time, and
CPU time of event streams and of large bodies.

    bench/gateway/traffic.py [--rate 5000] [--seconds 10] [--rounds 3] [--streams 9000] [--json]

Needs nginx-light, haproxy, and the programs of build/bench (./run build-preset bench gateway_load gateway_backend busbar).
Each proxy has one thread; runs alternate, medians are shown. Requests come when they are due (Poisson), measured from then;
what a proxy adds is the difference to the backend without one.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

from peers import ROOT, Proxy, start_proxies, wait_for

PROGRAMS = pathlib.Path(os.environ.get("BUSBAR_BENCH_DIR", ROOT / "build" / "bench" / "bench"))
BODY = 220 * 1024
EVENTS = 20  # of a stream, one a second


class Backend(Proxy):
    """gateway_backend; it picks its port itself."""

    def __init__(self, event_us=1_000_000):
        self.name = "none"
        self.process = subprocess.Popen([str(PROGRAMS / "gateway_backend")], stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "EVENT_US": str(event_us)})
        self.port = int(self.process.stdout.readline())
        wait_for(self.port)


def load(target, *flags):
    """The load's result, and the target's CPU seconds while it ran."""
    before = target.cpu_s()
    done = subprocess.run([str(PROGRAMS / "gateway_load"), f"127.0.0.1:{target.port}", "--host", "127.0.0.1", "--json",
                           *map(str, flags)], stdout=subprocess.PIPE, check=False)
    used = target.cpu_s() - before
    result = json.loads(done.stdout or "{}")
    if done.returncode != 0:
        sys.exit(f"{target.name} failed requests: {result}")
    return result, used


def latency(target, options, connections, rate):
    result, _ = load(target, "--rate", rate, "--seconds", options.seconds, "--connections", connections)
    return {"mean_us": result["total"]["mean_us"], "p99_us": result["total"]["p99_us"]}


def streams(target, options):
    """CPU microseconds an event, with `--streams` open at once."""
    result, used = load(target, "--model", "m", "--stream", "--rate", options.streams, "--even", "--seconds", 1, "--tokens",
                        EVENTS, "--connections", options.streams)
    return {"cpu_us_per_event": used / result["events"] * 1e6, "open": result["most_open"]}


def bodies(target, options):
    result, used = load(target, "--path", "/v1/body", "--body", BODY, "--rate", options.body_rate, "--seconds", options.seconds,
                        "--connections", 16)
    return {"cpu_us_per_body": used / result["answered"] * 1e6}


def measure(targets, options):
    rows = {"at the rate, 64 connections": lambda one: latency(one, options, 64, options.rate),
            "one connection": lambda one: latency(one, options, 1, 500),
            "event streams": lambda one: streams(one, options) if one.name != "none" else None,
            "220 KB bodies": lambda one: bodies(one, options) if one.name != "none" else None}
    seen = {row: {one.name: [] for one in targets} for row in rows}
    for number in range(options.rounds):
        for row, run in rows.items():
            for one in targets:
                print(f"round {number + 1} of {options.rounds}: {row}, {one.name}", file=sys.stderr)
                result = run(one)
                if result is not None:
                    seen[row][one.name].append(result)
    return {row: {name: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                  for name, runs in results.items() if runs} for row, results in seen.items()}


def show(results):
    for row in ("at the rate, 64 connections", "one connection"):
        base = results[row]["none"]
        print(f"{row}: {base['mean_us']:.0f} us without a proxy (p99 {base['p99_us']:.0f}); added")
        for name, one in results[row].items():
            if name != "none":
                print(f"  {name:8} mean {one['mean_us'] - base['mean_us']:6.0f} us, p99 {one['p99_us'] - base['p99_us']:6.0f} us")
    for row, key, unit in (("event streams", "cpu_us_per_event", "event"), ("220 KB bodies", "cpu_us_per_body", "body")):
        base = results[row]["nginx"][key]
        print(f"{row}: CPU time")
        for name, one in results[row].items():
            print(f"  {name:8} {one[key]:8.2f} us an {unit}, {one[key] / base:.2f} of nginx")


def beside_each_other(make_backend, connections, run):
    """What `run` makes of the backend and the proxies before it, all started for it, with as many open files as may be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bb-bench-") as name:
        started = [make_backend()]
        try:
            started += start_proxies(pathlib.Path(name), started[0].port, connections)
            return run(started)
        finally:
            for each in started:
                each.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--body-rate", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=9000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = beside_each_other(Backend, 2 * options.streams, lambda targets: measure(targets, options))
    if options.json:
        print(json.dumps(results))
    else:
        show(results)


if __name__ == "__main__":
    main()
