#!/usr/bin/env python3
"""The gateway beside nginx and haproxy (Debian's), in the same run on the same backend: CPU time a request, and memory of an
idle connection.

    bench/gateway/compare.py [--seconds 10] [--rounds 5] [--connections 64] [--idle 4000] [--json]

Needs nginx-light, haproxy and wrk (apt-get install). Each proxy has one thread; runs alternate, medians are shown, and
ratios to nginx are what counts: machines differ and are noisy. CPU time is what the kernel accounts to the proxy's process.
"""

import argparse
import json
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

from peers import start_nginx_backend, start_proxies


def load(proxy, seconds, connections):
    before = proxy.cpu_s()
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}", f"http://127.0.0.1:{proxy.port}/"],
                         capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"compare.py: {proxy.name} failed requests:\n{out}")
    return (proxy.cpu_s() - before) / requests * 1e6


def idle_bytes(proxy, count):
    """Private memory that `count` connections cost which have each had one answer."""
    subprocess.run(["wrk", "-t1", "-c64", "-d1", f"http://127.0.0.1:{proxy.port}/"], capture_output=True, check=True)
    before = proxy.private_bytes()
    connections = []
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", proxy.port))
        connection.sendall(request)
        answer = b""
        while b"answer\n" not in answer:
            answer += connection.recv(4096)
        connections.append(connection)
    used = proxy.private_bytes() - before
    for connection in connections:
        connection.close()
    return used / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--idle", type=int, default=4_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for program in ("nginx", "wrk"):
        if not shutil.which(program):
            sys.exit(f"compare.py: needs {program}: apt-get install nginx-light haproxy wrk")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bb-bench-") as name:
        started = [start_nginx_backend(pathlib.Path(name))]
        try:
            proxies = start_proxies(pathlib.Path(name), started[0].port, options.connections * 2)
            started += proxies
            cpu = {proxy.name: [] for proxy in proxies}
            for _ in range(options.rounds):
                for proxy in proxies:
                    cpu[proxy.name].append(load(proxy, options.seconds, options.connections))
            memory = {proxy.name: idle_bytes(proxy, options.idle) for proxy in proxies} if options.idle else {}
        finally:
            for each in started:
                each.stop()
    result = {each: {"cpu_us_per_request": statistics.median(values),
                     "ratio_to_nginx": statistics.median(value / base for value, base in zip(values, cpu["nginx"])),
                     "bytes_per_idle_connection": memory.get(each)} for each, values in cpu.items()}
    if options.json:
        print(json.dumps(result))
        return
    print(f"{'':10} {'CPU us a request':>17} {'to nginx':>9} {'bytes an idle connection':>25}")
    for each, row in result.items():
        idle = "-" if row["bytes_per_idle_connection"] is None else f"{row['bytes_per_idle_connection']:.0f}"
        print(f"{each:10} {row['cpu_us_per_request']:17.2f} {row['ratio_to_nginx']:9.2f} {idle:>25}")


if __name__ == "__main__":
    main()
