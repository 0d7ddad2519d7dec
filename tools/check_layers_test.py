#!/usr/bin/env python3
"""The layer check finds what it is there to find."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parent / "check_layers"


def violations(files):
    """Runs the real tool on a tree of these files (path below src/ -> text); its lines, exit code checked."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            file = Path(root) / "src" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, str(TOOL), root], capture_output=True, text=True, check=False)
        lines = done.stdout.splitlines()
        assert done.returncode == (1 if lines else 0), done
        return lines


class CheckLayersTest(unittest.TestCase):
    def assert_one(self, files, place, part):
        found = violations(files)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(f"src/{place}: "), found)
        self.assertIn(part, found[0])

    def test_accepts_lower_levels_and_own_folder(self):
        self.assertEqual(violations({
            "sched/core.cc": '#include "sched/core.h"\n#include <vector>\n#include "model/job.h"\n#include "base/error.h"\n',
            "store/sqlite/internal/a.cc": '#include "store/sqlite/internal/a.h"\n#include "store/store.h"\n#include <sqlite3.h>\n',
            "main.cc": '#include "store/sqlite/sqlite_store.h"\n#include "cli/cli.h"\n',
        }), [])

    def test_refuses_upward_include(self):
        self.assert_one({"model/job.h": "#pragma once\n\n#include \"sched/core.h\"\n"}, "model/job.h:3", "lower levels only")

    def test_refuses_sideways_include(self):
        self.assert_one({"store/a.cc": '#include "net/http.h"\n'}, "store/a.cc:1", "lower levels only")

    def test_refuses_driver_to_driver(self):
        self.assert_one({"engine/local/a.cc": '#include "store/sqlite/sqlite_store.h"\n'}, "engine/local/a.cc:1",
                        "lower levels only")

    def test_refuses_driver_from_above_but_not_in_tests(self):
        include = '#include "store/sqlite/sqlite_store.h"\n'
        self.assert_one({"control/a.cc": include, "control/a_test.cc": include}, "control/a.cc:1", "is a driver")

    def test_refuses_internal_headers_of_others(self):
        files = {"control/a.cc": '#include "net/internal/b.h"\n', "net/c.cc": '#include "net/internal/b.h"\n'}
        self.assert_one(files, "control/a.cc:1", "internal to net/")

    def test_refuses_unknown_folder_and_climbing(self):
        self.assert_one({"base/a.cc": '#include "misc/b.h"\n'}, "base/a.cc:1", "in no folder")
        self.assert_one({"os/a.cc": '#include "../base/b.h"\n'}, "os/a.cc:1", "climbs")
        self.assert_one({"misc/a.cc": "int x;\n"}, "misc/a.cc:1", "in no folder")

    def test_refuses_impure_headers_in_pure_folders_only(self):
        files = {"sched/a.cc": "#include <thread>\n", "os/a.cc": "#include <thread>\n", "sched/a_test.cc": "#include <thread>\n"}
        self.assert_one(files, "sched/a.cc:1", "is pure")
        self.assert_one({"launch/a.cc": "#include <unistd.h>\n"}, "launch/a.cc:1", "is pure")

    def test_refuses_os_in_pure_folders(self):
        self.assert_one({"sched/a.cc": '#include "os/files.h"\n'}, "sched/a.cc:1", "is not pure")

    def test_refuses_clocks_but_reads_over_comments_and_texts(self):
        text = '// steady_clock is not used\nconst char* a = "system_clock";\nauto now = std::chrono::system_clock::now();\n'
        self.assert_one({"model/a.cc": text, "os/a.cc": text}, "model/a.cc:3", "reads a clock")

    def test_refuses_floating_point_in_the_core(self):
        text = "// a double meaning\nint twice(int x);\ndouble share = 0.5;\n"
        self.assert_one({"sched/a.cc": text, "launch/a.cc": text}, "sched/a.cc:3", "floating point")

    def test_keeps_libraries_in_their_folders(self):
        self.assert_one({"control/a.cc": "#include <sqlite3.h>\n"}, "control/a.cc:1", "seen only by store/sqlite")
        self.assert_one({"cli/a.cc": "#include <boost/asio.hpp>\n"}, "cli/a.cc:1", "seen only by net")
        self.assert_one({"cli/a.cc": "#include <gtest/gtest.h>\n"}, "cli/a.cc:1", "belongs in tests")
        self.assert_one({"cli/a.cc": "#include <leveldb/db.h>\n"}, "cli/a.cc:1", "in no table")

    def test_checks_what_targets_link(self):
        self.assert_one({"model/CMakeLists.txt": "# busbar_net\nbusbar_layer(model\n  a.cc\n  DEPS busbar_base busbar_net)\n"},
                        "model/CMakeLists.txt:2", "links busbar_net")
        self.assert_one({"control/CMakeLists.txt": "busbar_layer(control a.cc DEPS busbar_store_sqlite)\n"},
                        "control/CMakeLists.txt:1", "links the driver")
        self.assertEqual(violations({"control/CMakeLists.txt": "busbar_test(control a_test.cc DEPS busbar_store_sqlite)\n",
                                     "store/CMakeLists.txt": "busbar_test(store a_test.cc DEPS busbar_store_sqlite)\n"}), [])

    def test_this_tree_passes(self):
        done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
