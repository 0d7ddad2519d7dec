#!/usr/bin/env python3
"""The gateway beside nginx and haproxy (Debian's), in the same run on the same backend: CPU time a request, and memory of an
idle connection.

    bench/gateway/compare.py [--seconds 10] [--rounds 5] [--connections 64] [--idle 4000] [--json]

Needs nginx-light, haproxy and wrk (apt-get install). Each proxy has one thread; runs alternate, medians are shown, and
ratios to nginx are what counts: machines differ and are noisy. CPU time is what the kernel accounts to the proxy's process.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUSBAR = pathlib.Path(os.environ.get("BUSBAR_BIN", ROOT / "build" / "release" / "bin" / "busbar"))
ANSWER = "hello, this is a small answer\\n"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise


class Proxy:
    def __init__(self, name, argv, port, cwd):
        self.name = name
        self.port = port
        self.process = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL)
        wait_for(port)

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += [int(child) for child in children]
        return found

    def cpu_s(self):
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def private_bytes(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_all(directory, connections):
    backend = free_port()
    (directory / "backend.conf").write_text(f"""
worker_processes 1; pid {directory}/backend.pid; error_log {directory}/backend.err; daemon off;
events {{ worker_connections 65536; }}
http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{backend} backlog=4096;
  location / {{ return 200 "{ANSWER}"; }} }} }}""")
    started = [Proxy("backend", ["nginx", "-c", str(directory / "backend.conf")], backend, directory)]
    port = free_port()
    (directory / "nginx.conf").write_text(f"""
worker_processes 1; worker_rlimit_nofile 200000; pid {directory}/nginx.pid; error_log {directory}/nginx.err; daemon off;
events {{ worker_connections 100000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  upstream replicas {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass http://replicas; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto http; }} }} }}""")
    started.append(Proxy("nginx", ["nginx", "-c", str(directory / "nginx.conf")], port, directory))
    if shutil.which("haproxy"):
        port = free_port()
        (directory / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend replicas
backend replicas
  server one 127.0.0.1:{backend}
""")
        started.append(Proxy("haproxy", ["haproxy", "-f", str(directory / "haproxy.cfg")], port, directory))
    port = free_port()
    (directory / "routes.json").write_text(json.dumps({"version": 1, "services": [
        {"name": "s", "hosts": ["127.0.0.1"], "limits": {"concurrency": connections * 2, "waiting": 0},
         "endpoints": [{"replica": "s-1", "address": "127.0.0.1", "port": backend}]}]}))
    started.append(Proxy("busbar", [str(BUSBAR), "gateway", "--listen", f"127.0.0.1:{port}", "--threads", "1", "--routes",
                                    str(directory / "routes.json"), "--admin", "127.0.0.1:0"], port, directory))
    return started


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
        started = start_all(pathlib.Path(name), options.connections)
        try:
            proxies = started[1:]
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
