#!/usr/bin/env python3
"""The gateway beside nginx and haproxy (Debian's), in the same run on the same backend: CPU time a request of HTTP/1.1, of
HTTP/1.1 over TLS and of HTTP/2 over TLS, and memory of an idle connection. What they add to a request's time, mean and 99th
percentile, with many connections and with one: traffic.py.

    bench/gateway/compare.py [--seconds 10] [--rounds 5] [--connections 64] [--streams 8] [--idle 4000] [--json]
                             [--rows plain,tls,http2]

Needs nginx-light, haproxy, wrk and nghttp2-client (apt-get install). Each proxy has one thread; runs alternate, medians are
shown, and ratios to nginx are what counts: machines differ and are noisy. CPU time is what the kernel accounts to the proxy's
process. With TLS the load is h2load's: connections are kept, so handshakes count for little; HTTP/2 has --streams requests
at once on each of as many connections as make --connections of them.
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

from peers import make_certificate, start_nginx_backend, start_proxies


def ask_plain(proxy, options):
    """How many requests were answered."""
    out = subprocess.run(["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}", f"http://127.0.0.1:{proxy.port}/"],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"compare.py: {proxy.name} failed requests:\n{out}")
    return int(re.search(r"(\d+) requests in", out).group(1))


def ask_h2load(proxy, options, *flags):
    out = subprocess.run(["h2load", "-t1", f"-D{options.seconds}", *flags, f"https://127.0.0.1:{proxy.tls_port}/"],
                         capture_output=True, text=True, check=True).stdout
    done = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", out)
    wanted = "Application protocol: " + ("http/1.1" if "--h1" in flags else "h2")
    if not done or int(done[3]) > 0 or int(done[1]) == 0 or wanted not in out:
        sys.exit(f"compare.py: {proxy.name} failed requests:\n{out}")
    return int(done[2])


ROWS = {
    "plain": ("HTTP/1.1", ask_plain),
    "tls": ("HTTP/1.1 over TLS", lambda proxy, options: ask_h2load(proxy, options, "--h1", f"-c{options.connections}")),
    "http2": ("HTTP/2 over TLS", lambda proxy, options: ask_h2load(
        proxy, options, f"-c{max(1, options.connections // options.streams)}", f"-m{options.streams}")),
}


def load(proxy, row, options):
    """CPU microseconds a request."""
    before = proxy.cpu_s()
    requests = ROWS[row][1](proxy, options)
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


def show(result):
    print(f"{'':18} {'':10} {'CPU us a request':>17} {'to nginx':>9}")
    for row, of_row in result["rows"].items():
        for name, one in of_row.items():
            print(f"{ROWS[row][0]:18} {name:10} {one['cpu_us_per_request']:17.2f} {one['ratio_to_nginx']:9.2f}")
    for name, size in result["bytes_per_idle_connection"].items():
        print(f"{'idle connection':18} {name:10} {size:11.0f} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--idle", type=int, default=4_000)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = options.rows.split(",")
    if unknown := [row for row in rows if row not in ROWS]:
        sys.exit(f"compare.py: --rows {unknown[0]} is none of {', '.join(ROWS)}")
    for program in ("nginx", "wrk", *(["h2load"] if rows != ["plain"] else [])):
        if not shutil.which(program):
            sys.exit(f"compare.py: needs {program}: apt-get install nginx-light haproxy wrk nghttp2-client")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bb-bench-") as name:
        started = [start_nginx_backend(pathlib.Path(name))]
        try:
            proxies = start_proxies(pathlib.Path(name), started[0].port, options.connections * 2,
                                    make_certificate(pathlib.Path(name)))
            started += proxies
            cpu = {row: {proxy.name: [] for proxy in proxies} for row in rows}
            for _ in range(options.rounds):
                for row in rows:
                    for proxy in proxies:
                        cpu[row][proxy.name].append(load(proxy, row, options))
            memory = {proxy.name: idle_bytes(proxy, options.idle) for proxy in proxies} if options.idle else {}
        finally:
            for each in started:
                each.stop()
    result = {"bytes_per_idle_connection": memory, "rows": {row: {
        name: {"cpu_us_per_request": statistics.median(values),
               "ratio_to_nginx": statistics.median(value / base for value, base in zip(values, cpu[row]["nginx"]))}
        for name, values in of_row.items()} for row, of_row in cpu.items()}}
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
