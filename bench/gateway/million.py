#!/usr/bin/env python3
"""A million connections open at once, each served, then requests on them in turn.

    bench/gateway/million.py [--connections 1000000] [--rate 5000] [--seconds 20] [--settle 60] [--json]

Needs root: it runs in a network namespace of its own, from many loopback addresses. Where the limit of open files is below
the number of connections, the gateway has more threads, with a table each, and the load more processes. The kernel takes
about 8 GB for a million connections, both ends. What the gateway adds is the difference to the same load from as many
processes on the backend itself, over a few connections each, in the same run.
Programs: build/bench (./run build-preset bench gateway_load gateway_backend busbar).
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
import time

from peers import BUSBAR, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("BUSBAR_BENCH_DIR", ROOT / "build" / "bench" / "bench"))
FILES_BESIDE = 500  # of a table: what is open besides clients
FEW = 64  # connections of a load process, where their number is not what is measured


def into_own_network():
    """Runs this script again in a network namespace, which ends with it."""
    os.environ["BUSBAR_MILLION_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def prepare_network():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in (("net/ipv4/ip_local_port_range", "1024 65535"), ("net/core/somaxconn", "65535"),
                        ("net/ipv4/tcp_max_syn_backlog", "65535")):
        pathlib.Path("/proc/sys", name).write_text(value)


def files_a_table():
    """How many files a table may have, raised as far as it may be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def meminfo(key):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def memory_of(pid):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def load_argv(port, *flags):
    return [str(PROGRAMS / "gateway_load"), f"127.0.0.1:{port}", "--json", *map(str, flags)]


def failures(result):
    return result["broken"] + result["lost_idle"] + sum(result["refused"].values()) + result["sent"] - result["answered"]


class Holders:
    """As many load processes as the limit of files asks for; they begin together when all connections are open."""

    def __init__(self, port, arguments, count, connections):
        self.processes = []
        held = 0
        for number in range(count):
            hold = (connections * (number + 1)) // count - held
            held += hold
            self.processes.append(subprocess.Popen(
                load_argv(port, "--hold", hold, "--connections", hold, "--first-source", number + 2, "--rate",
                          arguments.rate / count, "--seconds", arguments.seconds, "--seed", number, "--wait"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def wait_until_open(self):
        begin = time.monotonic()
        for number, process in enumerate(self.processes):
            for line in process.stderr:
                if line == "ready\n":
                    break
            else:
                sys.exit(f"million.py: load process {number} ended: {process.communicate()}")
            if number % 10 == 9:
                print(f"{number + 1} of {len(self.processes)} load processes have theirs open, after "
                      f"{time.monotonic() - begin:.0f} s", file=sys.stderr)

    def play(self):
        for process in self.processes:
            process.stdin.write("\n")
            process.stdin.flush()
        # A process that ended would close its connections, in the kernel for long, while others still measure.
        results = [json.loads(process.stdout.readline()) for process in self.processes]
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            process.wait()
        answered = sum(one["answered"] for one in results)
        for one in results:
            if failures(one):
                print(f"a load process saw failures: {one}", file=sys.stderr)
        return {"failures": sum(failures(one) for one in results), "answered": answered,
                "mean_us": sum(one["total"]["mean_us"] * one["answered"] for one in results) / answered,
                "p50_us": statistics.median(one["total"]["p50_us"] for one in results),
                "p99_us": statistics.median(one["total"]["p99_us"] for one in results)}


def over_few(port, arguments, count):
    holders = Holders(port, arguments, count, count * FEW)
    holders.wait_until_open()
    return holders.play()


def run(arguments, directory, files):
    backend = subprocess.Popen([str(PROGRAMS / "gateway_backend")], stdout=subprocess.PIPE, text=True)
    backend_port = int(backend.stdout.readline())
    port = free_port()
    (directory / "routes.json").write_text(json.dumps({"version": 1, "services": [
        {"name": "s", "hosts": [f"127.0.0.1:{port}", "127.0.0.1"], "limits": {"concurrency": 4096, "waiting": 0, "waiting_each": 0},
         "endpoints": [{"replica": "s-1", "address": "127.0.0.1", "port": backend_port}]}]}))
    # The kernel spreads connections over the threads by a hash: some get a few percent more than others.
    threads = max(2, int(arguments.connections / (files - FILES_BESIDE) * 1.1) + 1)
    gateway = subprocess.Popen([str(BUSBAR), "gateway", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0",
                                "--routes", str(directory / "routes.json"), "--idle-timeout", "1h", "--threads",
                                str(threads), "--thread-files"])
    try:
        wait_for(port)
        count = arguments.connections // (files - FILES_BESIDE) + 1
        direct = over_few(backend_port, arguments, count)
        few = over_few(port, arguments, count)
        empty, available = memory_of(gateway.pid), meminfo("MemAvailable")
        holders = Holders(port, arguments, count, arguments.connections)
        begin = time.monotonic()
        holders.wait_until_open()
        opened = time.monotonic() - begin
        # The opening's own connections to the backend are closed when they have been idle for up to a minute.
        time.sleep(arguments.settle)
        full, taken = memory_of(gateway.pid), available - meminfo("MemAvailable")
        held = holders.play()
        return {"connections": arguments.connections, "threads": threads, "load_processes": len(holders.processes),
                "open_s": opened, "failures": held["failures"] + few["failures"] + direct["failures"], "requests": held["answered"],
                "gateway_bytes": full, "gateway_empty_bytes": empty, "machine_bytes": taken,
                **{f"{name}_{key}": result[key] for name, result in (("direct", direct), ("few", few), ("held", held))
                   for key in ("mean_us", "p50_us", "p99_us")}}
    finally:
        for process in (gateway, backend):
            process.terminate()
        gateway.wait()
        backend.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--settle", type=int, default=60, metavar="SECONDS", help="between the opening and the requests")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if "BUSBAR_MILLION_INSIDE" not in os.environ:
        into_own_network()
    prepare_network()
    with tempfile.TemporaryDirectory() as directory:
        result = run(arguments, pathlib.Path(directory), files_a_table())
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{result['connections']} connections open, each served, in {result['open_s']:.0f} s ({result['threads']} "
              f"threads, {result['load_processes']} load processes); then {result['requests']} requests in turn; "
              f"{result['failures']} failed")
        print(f"gateway's memory: {result['gateway_bytes'] / 1e6:.1f} MB, {result['gateway_empty_bytes'] / 1e6:.1f} MB before; "
              f"the machine's, both ends and the kernel: {result['machine_bytes'] / 1e9:.1f} GB")
        for name, what in (("direct", "without a gateway"), ("few", "through it"), ("held", "with all connections open")):
            print(f"at {arguments.rate} a second {what}: mean {result[name + '_mean_us']:.0f} us, p50 "
                  f"{result[name + '_p50_us']:.0f}, p99 {result[name + '_p99_us']:.0f}")
        print(f"added by the gateway, all open: {result['held_mean_us'] - result['direct_mean_us']:.0f} us in the mean")
    sys.exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    main()
