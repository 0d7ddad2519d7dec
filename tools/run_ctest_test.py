#!/usr/bin/env python3
"""What a test program prints is counted as it was meant."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import run_ctest  # noqa: E402  (needs the path above)

GOOGLETEST = """\
[==========] Running 4 tests from 1 test suite.
[ RUN      ] A.Passes
[       OK ] A.Passes (0 ms)
[ RUN      ] A.Fails
x.cc:1: Failure
[  FAILED  ] A.Fails (12 ms)
[ RUN      ] A.Skips
[  SKIPPED ] A.Skips (0 ms)
[ RUN      ] A/B.FailsByParameter/0
[  FAILED  ] A/B.FailsByParameter/0, where GetParam() = 7 (1 ms)
[  FAILED  ] 2 tests, listed below:
[  FAILED  ] A.Fails
"""

UNITTEST = """\
======================================================================
FAIL: test_a (x.Test.test_a)
----------------------------------------------------------------------
Traceback (most recent call last):
----------------------------------------------------------------------
Ran 5 tests in 0.1s

FAILED (failures=1, skipped=1)
"""


class JudgeTest(unittest.TestCase):
    def test_counts_googletest_cases(self):
        outcome = run_ctest.judge("layer", GOOGLETEST, 1, False)
        self.assertEqual(outcome.passed, 1)
        self.assertEqual(outcome.failed, ["A.Fails", "A/B.FailsByParameter/0"])
        self.assertEqual(outcome.skipped, ["A.Skips"])

    def test_a_crash_fails_the_case_that_ran(self):
        outcome = run_ctest.judge("layer", "[ RUN      ] A.Dies\nabort\n", -6, False)
        self.assertEqual((outcome.passed, outcome.failed), (0, ["A.Dies (did not end)"]))

    def test_a_crash_after_the_last_case_fails_too(self):
        text = "[ RUN      ] A.Passes\n[       OK ] A.Passes (0 ms)\n"
        outcome = run_ctest.judge("layer", text, -11, False)
        self.assertEqual((outcome.passed, outcome.failed), (1, ["layer (signal 11)"]))

    def test_counts_unittest_cases(self):
        outcome = run_ctest.judge("sdk", UNITTEST, 1, False)
        self.assertEqual((outcome.passed, outcome.failed), (3, ["test_a (x.Test.test_a)"]))
        self.assertEqual(len(outcome.skipped), 1)

    def test_counts_other_programs_by_exit_code(self):
        self.assertEqual(run_ctest.judge("script", "hello", 0, False).passed, 1)
        self.assertEqual(run_ctest.judge("script", "hello", 3, False).failed, ["script"])

    def test_a_time_out_is_a_failure_whatever_passed(self):
        text = "[ RUN      ] A.Passes\n[       OK ] A.Passes (0 ms)\n[ RUN      ] A.Hangs\n"
        outcome = run_ctest.judge("layer", text, -9, True)
        self.assertEqual(outcome.failed, ["A.Hangs (did not end)", "layer (timed out)"])


class ShardsTest(unittest.TestCase):
    def test_a_long_suite_is_split_by_googletests_own_way(self):
        test = {"name": "long", "command": ["x"], "properties": [{"name": "LABELS", "value": ["sharded"]},
                                                                   {"name": "ENVIRONMENT", "value": ["A=1"]}]}
        parts = run_ctest.shards_of(test, 2)
        self.assertEqual(["long.1", "long.2"], [part["name"] for part in parts])
        self.assertEqual([["A=1", "GTEST_TOTAL_SHARDS=2", f"GTEST_SHARD_INDEX={index}"] for index in range(2)],
                         [run_ctest.properties_of(part)["ENVIRONMENT"] for part in parts])

    def test_others_stay_whole(self):
        test = {"name": "short", "command": ["x"], "properties": []}
        self.assertEqual([test], run_ctest.shards_of(test, 2))


class RunOneTest(unittest.TestCase):
    def run_command(self, *command, **properties):
        entry = {"name": "t", "command": list(command),
                 "properties": [{"name": name, "value": value} for name, value in properties.items()]}
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_ctest.run_one(entry, Path(folder))
            return outcome, Path(outcome.log).read_text() if Path(outcome.log).exists() else ""

    def test_gives_environment_and_folder(self):
        outcome, text = self.run_command("/bin/sh", "-c", "echo $A; pwd", ENVIRONMENT=["A=b=c"], WORKING_DIRECTORY="/usr")
        self.assertEqual((outcome.passed, text), (1, "b=c\n/usr\n"))

    def test_ends_what_takes_too_long_with_its_children(self):
        outcome, _ = self.run_command("/bin/sh", "-c", "tail -f /dev/null & tail -f /dev/null", TIMEOUT=0.2)
        self.assertEqual(outcome.failed, ["t", "t (timed out)"])

    def test_a_missing_binary_is_a_failure(self):
        outcome, _ = self.run_command("/nonexistent/test")
        self.assertEqual(outcome.failed, ["t (not built)"])


if __name__ == "__main__":
    unittest.main()
