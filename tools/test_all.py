#!/usr/bin/env python3
"""Every test there is, in turn; what `./run test` and `./run fuzz` call.

    tools/test_all.py [--full] [--only-fuzz SECONDS]

The last line is `N passed, N failed`; the names of what failed stand above it. In CI (CI=true) the layers that changed
are also built and tested under the address and undefined behaviour sanitizers, the gateway under the thread sanitizer as
well; --full does that for everything.
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import changed
import run_ctest

ROOT = changed.ROOT
FUZZ_SECONDS = 10
LOW_PRIORITY = ("nice", "-n", "19")
# Layers whose tests need neither root nor containers, and end in seconds under a sanitizer too.
SANITIZED_LAYERS = ("base", "model", "sched", "chip", "launch", "api", "net", "store", "route", "gateway")
# Of those, the ones where threads share what they work on.
THREADED_LAYERS = ("gateway",)


class Report:
    """Adds up what passed and failed."""

    def __init__(self):
        self.passed = 0
        self.failed = []  # (name, where to look)
        self.skipped = []
        self.begin = time.monotonic()
        self.lock = threading.Lock()

    def headline(self, text):
        print(f"== {text} [{time.monotonic() - self.begin:.0f} s]", flush=True)

    def add(self, outcomes, prefix=""):
        with self.lock:
            for outcome in outcomes:
                self.passed += outcome.passed
                self.failed += [(prefix + name, outcome.log) for name in outcome.failed]
                self.skipped += [prefix + name for name in outcome.skipped]

    def add_command(self, name, command, log):
        """One command is one case; its output is kept in the log and its end shown on failure. True if it passed."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as out:
            code = subprocess.run(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                  check=False).returncode
        print(f"  {name:<24} {'ok' if code == 0 else 'FAILED'}", flush=True)
        with self.lock:
            if code == 0:
                self.passed += 1
                return True
            self.failed.append((name, str(log)))
        print("".join(f"    {line}\n" for line in log.read_text(errors="replace").splitlines()[-25:]), end="")
        return False

    def finish(self):
        for name in self.skipped:
            print(f"skipped: {name}")
        for name, log in self.failed:
            print(f"failed: {name}, see {os.path.relpath(log, ROOT)}")
        print(f"{self.passed} passed, {len(self.failed)} failed", flush=True)
        return 1 if self.failed else 0


def build(report, preset, *targets, priority=()):
    return report.add_command(f"build {preset}", [*priority, "./run", "build-preset", preset, *targets],
                              ROOT / "build" / f"build-{preset}.log")


def run_checks(report):
    report.headline("checks")
    logs = ROOT / "build" / "checks"
    report.add_command("layers", ["python3", "tools/check_layers"], logs / "layers.log")
    files = changed.all_sources()
    report.add_command("format", ["clang-format-19", "--dry-run", "-Werror", *files], logs / "format.log")


def fuzz_binaries():
    return sorted(path for path in (ROOT / "build" / "fuzz").rglob("fuzz_*")
                  if path.is_file() and os.access(path, os.X_OK) and not path.suffix)


def fuzz_one(binary, seconds):
    """The kept corpus first, then new inputs for some seconds. New finds go below build/, never into the tree."""
    name = binary.name.removeprefix("fuzz_")
    work = ROOT / "build" / "fuzz" / "found" / name
    work.mkdir(parents=True, exist_ok=True)
    log = work.parent / f"{name}.log"
    command = [*LOW_PRIORITY, str(binary), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
               f"-artifact_prefix={work.parent}/{name}-", str(work)]
    corpus = ROOT / "tests" / "fuzz" / "corpus" / name
    if corpus.is_dir():
        command.append(str(corpus))
    begin = time.monotonic()
    with open(log, "wb") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False).returncode
    outcome = run_ctest.judge(binary.name, "", code, False)
    outcome.seconds, outcome.log = time.monotonic() - begin, str(log)
    return outcome


def run_fuzzers(report, seconds):
    report.headline(f"fuzz targets, {seconds} s each")
    if not build(report, "fuzz", "busbar_fuzzers", priority=LOW_PRIORITY):
        return
    binaries = fuzz_binaries()
    if not binaries:
        report.failed.append(("fuzz targets: none was built", str(ROOT / "build" / "build-fuzz.log")))
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        outcomes = list(pool.map(lambda binary: fuzz_one(binary, seconds), binaries))
    for outcome in outcomes:
        print(run_ctest.describe(outcome), flush=True)
    report.add(outcomes)


def run_preset(report, preset, layers=None, when_alone=lambda: None):
    """Builds a preset (or the test binaries of some layers) and runs its tests; see run_ctest.run_all()."""
    report.headline(f"tests, {preset}" + (f": {', '.join(layers)}" if layers else ""))
    targets = [f"busbar_{layer}_tests" for layer in layers or ()]
    if build(report, preset, *targets):
        report.add(run_ctest.run_all(ROOT / "build" / preset, layers, show=lambda line: print(line, flush=True),
                                     when_alone=when_alone), "" if preset == "release" else f"{preset}: ")


def changed_layers():
    """Sanitized layers with changes since the last landing; all of them where git does not know what landed last, as in
    a fresh clone of main itself."""
    landed = changed.landed_commit()
    files = changed.changed_since(landed) if landed else None
    if files is None:
        return list(SANITIZED_LAYERS)
    return [layer for layer in SANITIZED_LAYERS if any(name.startswith(f"src/{layer}/") for name in files)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="also everything under the sanitizers")
    parser.add_argument("--only-fuzz", type=int, metavar="SECONDS", help="nothing but the fuzz targets")
    arguments = parser.parse_args()
    report = Report()
    if arguments.only_fuzz is not None:
        run_fuzzers(report, arguments.only_fuzz)
        return report.finish()
    run_checks(report)
    # Tests that run alone wait for processes most of their time: what they leave of the machine builds the fuzz targets.
    with ThreadPoolExecutor(max_workers=1) as beside:
        fuzzers = []
        run_preset(report, "release", when_alone=lambda: fuzzers.append(beside.submit(run_fuzzers, report, FUZZ_SECONDS)))
    if not fuzzers:
        run_fuzzers(report, FUZZ_SECONDS)
    for future in fuzzers:
        future.result()  # What went wrong there must not pass for a success.
    if arguments.full:
        run_preset(report, "asan")
        run_preset(report, "tsan")
    elif os.environ.get("CI") == "true" and (layers := changed_layers()):
        run_preset(report, "asan", layers)
        if threaded := [layer for layer in layers if layer in THREADED_LAYERS]:
            run_preset(report, "tsan", threaded)
    report.headline("done")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
