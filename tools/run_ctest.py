#!/usr/bin/env python3
"""Runs what ctest knows of a build folder and counts test cases, not binaries.

    tools/run_ctest.py BUILD_DIR [--only NAME ...] [--jobs N]

Understands the output of GoogleTest and of Python's unittest; any other program is one case by its exit code. Honours
ctest's properties RUN_SERIAL, TIMEOUT, ENVIRONMENT and WORKING_DIRECTORY; a GoogleTest labelled "sharded" runs as one
process a core. The output of each process is kept in BUILD_DIR/test-logs/NAME.log. A library too: tools/test_all.py adds
up several runs.
"""

import argparse
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DEFAULT_TIMEOUT_S = 1200


@dataclasses.dataclass
class Outcome:
    """What one binary's run came to."""
    name: str
    passed: int = 0
    failed: list = dataclasses.field(default_factory=list)  # Names of cases.
    skipped: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    log: str = ""


def count_googletest(text):
    """(passed, failed names, skipped names) of a GoogleTest run, or None. A case that began and never ended failed."""
    started = re.findall(r"^\[ RUN      \] (\S+)", text, re.M)
    if not started and not re.search(r"^\[==========\] Running 0 tests", text, re.M):
        return None
    # Not at the start of a line only: the case may have printed without a newline before.
    ended = {name: mark for mark, name in re.findall(r"\[ +(OK|SKIPPED|FAILED) +\] ([^\s,]+)", text)}
    passed, failed, skipped = 0, [], []
    for name in started:
        mark = ended.get(name)
        if mark == "OK":
            passed += 1
        elif mark == "SKIPPED":
            skipped.append(name)
        else:
            failed.append(name if mark == "FAILED" else f"{name} (did not end)")
    return passed, failed, skipped


def count_unittest(text):
    """The same of Python's unittest, or None."""
    ran = re.findall(r"^Ran (\d+) tests? in ", text, re.M)
    if not ran:
        return None
    failed = [f"{case} ({where})" for case, where in re.findall(r"^(?:FAIL|ERROR): (\S+)(?: \(([^)]*)\))?", text, re.M)]
    skips = sum(int(n) for n in re.findall(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", text, re.M))
    total = sum(int(n) for n in ran)
    return max(0, total - len(failed) - skips), failed, [f"{skips} cases"] * bool(skips)


def judge(name, text, exit_code, timed_out):
    """An Outcome from a program's output and end."""
    counted = count_googletest(text) or count_unittest(text)
    if counted is None:
        counted = (1, [], []) if exit_code == 0 else (0, [name], [])
    outcome = Outcome(name, counted[0], list(counted[1]), list(counted[2]))
    if timed_out:
        outcome.failed.append(f"{name} (timed out)")
    elif exit_code != 0 and not outcome.failed:
        how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        outcome.failed.append(f"{name} ({how})")
    return outcome


def properties_of(test):
    return {entry["name"]: entry["value"] for entry in test.get("properties", [])}


def shards_of(test, count):
    """Long ones in parts, by GoogleTest's own way to split; others as they are."""
    if "sharded" not in properties_of(test).get("LABELS", []) or count < 2:
        return [test]
    parts = []
    for index in range(count):
        split = {"name": "ENVIRONMENT", "value": properties_of(test).get("ENVIRONMENT", []) +
                 [f"GTEST_TOTAL_SHARDS={count}", f"GTEST_SHARD_INDEX={index}"]}
        others = [entry for entry in test.get("properties", []) if entry["name"] != "ENVIRONMENT"]
        parts.append(dict(test, name=f"{test['name']}.{index + 1}", properties=others + [split]))
    return parts


def run_one(test, log_dir):
    """Runs one ctest entry in a process group of its own, so that a time-out leaves nothing behind."""
    properties = properties_of(test)
    log = log_dir / (test["name"].replace("/", "_") + ".log")
    command = test.get("command")
    if not command or not os.path.exists(command[0]):
        return Outcome(test["name"], failed=[f"{test['name']} (not built)"], log=str(log))
    environment = dict(os.environ)
    environment.update(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))
    begin = time.monotonic()
    timed_out = False
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   cwd=properties.get("WORKING_DIRECTORY") or None, env=environment, start_new_session=True)
        try:
            process.wait(float(properties.get("TIMEOUT", DEFAULT_TIMEOUT_S)))
        except subprocess.TimeoutExpired:
            timed_out = True
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    outcome = judge(test["name"], log.read_text(encoding="utf-8", errors="replace"), process.returncode, timed_out)
    outcome.seconds = time.monotonic() - begin
    outcome.log = str(log)
    return outcome


def describe(outcome):
    parts = [f"{outcome.passed:5} passed"]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if outcome.skipped:
        parts.append(f"{len(outcome.skipped)} skipped")
    return f"  {outcome.name:<24} {', '.join(parts)}  ({outcome.seconds:.1f} s)"


def run_all(build_dir, only=None, jobs=None, show=print, when_alone=lambda: None):
    """Outcomes of all tests of a build folder (or those named), parallel ones first (the long ones before the others),
    then RUN_SERIAL ones alone; `when_alone` is called in between."""
    listing = subprocess.run(["ctest", "--test-dir", str(build_dir), "--show-only=json-v1"], capture_output=True, text=True,
                             check=True).stdout
    tests = [test for test in json.loads(listing)["tests"] if not only or test["name"] in only]
    log_dir = Path(build_dir) / "test-logs"
    log_dir.mkdir(exist_ok=True)
    lock = threading.Lock()

    def run_and_show(test):
        outcome = run_one(test, log_dir)
        with lock:
            show(describe(outcome))
        return outcome

    alone = [test for test in tests if properties_of(test).get("RUN_SERIAL")]
    jobs = jobs or os.cpu_count() or 1
    parts = [shards_of(test, jobs) for test in tests if test not in alone]
    together = [part for group in sorted(parts, key=len, reverse=True) for part in group]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        outcomes = list(pool.map(run_and_show, together))
    when_alone()
    return outcomes + [run_and_show(test) for test in alone]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build_dir")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--jobs", type=int)
    arguments = parser.parse_args()
    outcomes = run_all(arguments.build_dir, arguments.only, arguments.jobs)
    failed = [(name, outcome.log) for outcome in outcomes for name in outcome.failed]
    for name, log in failed:
        print(f"failed: {name}, see {log}")
    print(f"{sum(outcome.passed for outcome in outcomes)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
