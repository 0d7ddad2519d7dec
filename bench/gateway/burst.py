#!/usr/bin/env python3
"""A step in load on a service of 1..8 replicas: how soon each new replica serves, and what requests saw.

    bench/gateway/burst.py [--build build/release] [--before 5] [--times 20] [--json]

Starts `busbar up` with its gateway and the tests' echo service. Requests take 100 ms in a replica and come when they are
due; a replica should have two at once, so the step needs all eight.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]


def service(volume):
    return json.dumps({"name": "echo", "type": "service", "run": "exec /opt/busbar-bench/busbar-echo-service", "workdir": "/",
                       "resources": {"cpus": 0.2, "memory": "64MiB"}, "volumes": [f"{volume}:/opt/busbar-bench:ro"],
                       "service": {"replicas": "1..8", "target": 2, "health": "/healthz"}})


class Watch(threading.Thread):
    """When the route table first had so many ready replicas."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.seen = {}
        self.changed = threading.Condition()

    def run(self):
        with self.server.request("GET", "/v1/routes/watch", timeout=300) as stream:
            for raw in stream:
                line = raw.decode().rstrip("\r\n")
                if not line.startswith("data:"):
                    continue
                services = json.loads(line[5:])["services"]
                with self.changed:
                    self.seen.setdefault(sum(len(one["endpoints"]) for one in services), time.monotonic())
                    self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            if not self.changed.wait_for(lambda: count in self.seen, 120):
                sys.exit(f"burst.py: never {count} replicas")


def load(programs, address, rate, seconds):
    return subprocess.Popen([str(programs / "gateway_load"), address, "--path", "/services/echo/slow?ms=100", "--rate",
                             str(rate), "--seconds", str(seconds), "--connections", "2000", "--json"],
                            stdout=subprocess.PIPE, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--before", type=float, default=5, help="requests a second before the step")
    parser.add_argument("--times", type=float, default=20, help="as many after it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    programs = pathlib.Path(os.environ.get("BUSBAR_BENCH_DIR", ROOT / "build" / "bench" / "bench"))
    os.environ["BUSBAR_BIN"] = str(options.build.resolve() / "bin" / "busbar")
    sys.path.insert(0, str(ROOT / "tests" / "e2e"))
    from harness import Server  # It reads BUSBAR_BIN when it is loaded.

    server = Server("--set", "gateway=127.0.0.1:0").start()
    try:
        watch = Watch(server)
        watch.start()
        server.api("POST", "/v1/services", {"file": service(options.build.resolve() / "bin"), "file_name": "echo.yaml"})
        watch.wait(1)
        address = urllib.parse.urlsplit(json.loads((server.state_dir / "gateway.json").read_text())["url"]).netloc
        calm = json.loads(load(programs, address, options.before, 5).communicate()[0])
        begin = time.monotonic()
        burst = json.loads(load(programs, address, options.before * options.times, 10).communicate()[0])
        watch.wait(8)
        after = {count: at - begin for count, at in sorted(watch.seen.items()) if at > begin}
    finally:
        for one in server.api("GET", "/v1/services")["services"]:
            server.api("DELETE", f"/v1/services/{one['name']}")
        server.close()
    failed = sum(one["broken"] + sum(one["refused"].values()) for one in (calm, burst))
    if options.json:
        print(json.dumps({"replicas_after_s": after, "failed": failed, "before": calm["total"], "after": burst["total"]}))
    else:
        print("replicas serving after the step: " + ", ".join(f"{count} after {at:.2f} s" for count, at in after.items()))
        for name, one in (("before", calm), ("after", burst)):
            print(f"{name}: {one['answered']} answered, mean {one['total']['mean_us'] / 1000:.0f} ms, p99 "
                  f"{one['total']['p99_us'] / 1000:.0f} ms")
        print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
