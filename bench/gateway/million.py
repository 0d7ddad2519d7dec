#!/usr/bin/env python3
"""A million connections open at once, each served, then requests on them in turn.

    bench/gateway/million.py [--connections 1000000] [--rate 5000] [--seconds 20] [--json]

Needs root: it runs in a network namespace of its own, from as many loopback addresses as the connections need ports. The
kernel takes about 8 GB for a million connections, both ends. What the gateway adds is the difference to the same load on
the backend itself, in the same run. Programs: build/bench (./run build-preset bench gateway_load gateway_backend busbar).
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

from peers import BUSBAR, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("BUSBAR_BENCH_DIR", ROOT / "build" / "bench" / "bench"))
PORTS_A_SOURCE = 60_000


def into_own_network():
    """Runs this script again in a network namespace, which ends with it."""
    os.environ["BUSBAR_MILLION_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def prepare_network():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in (("net/ipv4/ip_local_port_range", "1024 65535"), ("net/core/somaxconn", "65535"),
                        ("net/ipv4/tcp_max_syn_backlog", "65535")):
        pathlib.Path("/proc/sys", name).write_text(value)


def raise_file_limit(needed):
    most = int(pathlib.Path("/proc/sys/fs/nr_open").read_text())
    if needed > most:
        sys.exit(f"million.py: {needed} files are needed at once, fs.nr_open is {most}: raise it")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def meminfo(key):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def memory_of(pid):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def load(port, *flags):
    done = subprocess.run([str(PROGRAMS / "gateway_load"), f"127.0.0.1:{port}", "--json", *map(str, flags)],
                          stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        sys.exit("million.py: the load could not be made")
    return json.loads(done.stdout)


def failures(result):
    return result["broken"] + result["lost_idle"] + sum(result["refused"].values()) + result["sent"] - result["answered"]


def run(arguments, directory):
    backend = subprocess.Popen([str(PROGRAMS / "gateway_backend")], stdout=subprocess.PIPE, text=True)
    backend_port = int(backend.stdout.readline())
    port = free_port()
    (directory / "routes.json").write_text(json.dumps({"version": 1, "services": [
        {"name": "s", "hosts": [f"127.0.0.1:{port}", "127.0.0.1"], "limits": {"concurrency": 1024, "waiting": 4096},
         "endpoints": [{"replica": "s-1", "address": "127.0.0.1", "port": backend_port}]}]}))
    gateway = subprocess.Popen([str(BUSBAR), "gateway", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0",
                                "--routes", str(directory / "routes.json"), "--idle-timeout", "1h"])
    try:
        wait_for(port)
        steady = ["--rate", arguments.rate, "--seconds", arguments.seconds]
        direct = load(backend_port, *steady)
        empty_rss, kernel = memory_of(gateway.pid), meminfo("MemAvailable")
        few = load(port, *steady)
        # Read while all are open: the load tells its progress, and ends by itself.
        many = subprocess.Popen(
            [str(PROGRAMS / "gateway_load"), f"127.0.0.1:{port}", "--json", "--hold", str(arguments.connections),
             "--connections", str(arguments.connections), "--sources",
             str(arguments.connections // PORTS_A_SOURCE + 1), *map(str, steady)],
            stdout=subprocess.PIPE, text=True)
        # The load's last line comes when it is done; until then the most that the gateway ever had is what counts.
        held = json.loads(many.communicate()[0] or sys.exit("million.py: the load could not be made"))
        peak = {line.split(":")[0]: line.split()[1] for line in
                pathlib.Path(f"/proc/{gateway.pid}/status").read_text().splitlines()}
        return {"connections": arguments.connections, "open_s": held["open_s"], "failures": failures(held),
                "gateway_peak_bytes": int(peak["VmHWM"]) * 1024, "gateway_empty_bytes": empty_rss,
                "available_before_bytes": kernel, "direct_mean_us": direct["total"]["mean_us"],
                "few_mean_us": few["total"]["mean_us"], "held_mean_us": held["total"]["mean_us"],
                "held_p99_us": held["total"]["p99_us"], "sent_late_mean_us": held["late"]["mean_us"],
                "requests": held["answered"]}
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
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if "BUSBAR_MILLION_INSIDE" not in os.environ:
        into_own_network()
    prepare_network()
    raise_file_limit(arguments.connections + 2000)
    with tempfile.TemporaryDirectory() as directory:
        result = run(arguments, pathlib.Path(directory))
    if arguments.json:
        print(json.dumps(result))
    else:
        print(f"{result['connections']} connections open, each served, in {result['open_s']:.1f} s; then "
              f"{result['requests']} requests in turn; {result['failures']} failed")
        print(f"gateway's memory: {result['gateway_peak_bytes'] / 1e6:.1f} MB at most, {result['gateway_empty_bytes'] / 1e6:.1f} "
              "MB before")
        print(f"mean time at {arguments.rate} a second: {result['direct_mean_us']:.0f} us without a gateway, "
              f"{result['few_mean_us']:.0f} through it, {result['held_mean_us']:.0f} with all connections open (p99 "
              f"{result['held_p99_us']:.0f}); added by the gateway: {result['held_mean_us'] - result['direct_mean_us']:.0f} us")
    sys.exit(1 if result["failures"] else 0)


if __name__ == "__main__":
    main()
