#!/usr/bin/env python3
"""What a user waits for, on the real server with real containers; prints a table, or JSON with --json.

    bench/server_bench.py [--jobs 1000] [--runs 40] [--json]

- start: from the submit request to the first instruction of the container (its own clock, the same machine), warm.
  Beside it, in turn, in the same run: `runc run` of a like container by hand, without conmon, journal or overlay.
- burst: so many short jobs submitted at once; all must succeed; the API's answer times while they run.
- idle: resident memory and CPU of the server with nothing to do.
- ps: the whole command, from exec to exit.
Needs root (containers). Medians and ratios are what to quote; machines are shared and noisy."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
from harness import Server, job  # noqa: E402


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class BareRunc:
    """The least that starts a process in its own namespaces here: the peer of `start`."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bb-bare-", dir="/var/tmp"))
        for name in ("usr", "lib64", "lib", "proc", "dev", "sys"):
            (self.dir / "rootfs" / name).mkdir(parents=True)
        subprocess.run(["runc", "spec"], cwd=self.dir, check=True)
        config = json.loads((self.dir / "config.json").read_text())
        config["process"].update(args=["/usr/bin/date", "+%s%N"], terminal=False)
        config["mounts"] += [{"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"]}
                             for path in ("/usr", "/lib", "/lib64")]
        (self.dir / "config.json").write_text(json.dumps(config))

    def start_ms(self):
        begin = time.time_ns()
        done = subprocess.run(["runc", "run", f"bare-{begin}"], cwd=self.dir, check=True, capture_output=True)
        return (int(done.stdout) - begin) / 1e6

    def close(self):
        shutil.rmtree(self.dir)


def first_instruction_ms(server):
    text = job("exec /usr/bin/date +%s%N")
    begin = time.time_ns()
    submitted = server.submit(text)[0]
    server.wait_job(submitted["id"])
    lines = server.api_text("GET", f"/v1/jobs/{submitted['id']}/logs")
    stamp = next(json.loads(line[5:])["text"] for line in lines.splitlines() if line.startswith("data:") and "text" in line)
    return (int(stamp) - begin) / 1e6


def bench_start(server, runs):
    bare = BareRunc()
    ours, peer = [], []
    try:
        for index in range(runs + 3):
            a, b = first_instruction_ms(server), bare.start_ms()
            if index >= 3:
                ours.append(a)
                peer.append(b)
    finally:
        bare.close()
    return {"median_ms": statistics.median(ours), "p90_ms": percentile(ours, 0.9), "bare_runc_run_median_ms":
            statistics.median(peer), "ratio_to_bare": statistics.median(a / b for a, b in zip(ours, peer))}


def bench_burst(server, count):
    latencies, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            begin = time.monotonic()
            server.api("GET", "/v1/jobs?limit=20")
            latencies.append((time.monotonic() - begin) * 1000)
            stop.wait(0.005)

    asker = threading.Thread(target=ask)
    begin = time.monotonic()
    asker.start()
    ids = [server.submit(job("true", resources={"accelerators": "cpu:1"}))[0]["id"] for _ in range(count)]
    submitted = time.monotonic() - begin
    states = [server.wait_job(one, 1200)["state"] for one in ids]
    stop.set()
    asker.join()
    return {"jobs": count, "succeeded": states.count("succeeded"), "submit_s": submitted,
            "total_s": time.monotonic() - begin, "api_p50_ms": percentile(latencies, 0.5),
            "api_p99_ms": percentile(latencies, 0.99), "api_calls": len(latencies)}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bench_idle(server, seconds):
    pid = server.process.pid
    before, begin = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)  # What is measured is the passing of time itself.
    used = cpu_seconds(pid) - before
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    rss_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {"rss_mb": rss_kb / 1024, "cpu_percent": 100 * used / (time.monotonic() - begin)}


def bench_ps(server, runs):
    times = []
    for _ in range(runs):
        begin = time.monotonic()
        server.cli("ps", check=0)
        times.append((time.monotonic() - begin) * 1000)
    return {"median_ms": statistics.median(times)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with Server() as server:
        results = {"idle": bench_idle(server, options.idle), "start": bench_start(server, options.runs),
                   "ps": bench_ps(server, 20), "burst": bench_burst(server, options.jobs)}
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, values in results.items():
        print(f"{name:<6} " + "  ".join(f"{key} {value:.1f}" if isinstance(value, float) else f"{key} {value}"
                                        for key, value in values.items()))


if __name__ == "__main__":
    main()
