"""The chip catalogue through the real binary: every model can be asked for, and a site's files count."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from harness import BINARY, Server

NO_RULE = "no injection rule known; exclusive, nodes from sysfs"


def busbar(*args):
    done = subprocess.run([str(BINARY), *args], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class Chips(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="bb-chips-", dir="/var/tmp")
        cls.site = pathlib.Path(cls.folder.name) / "chips.d"
        cls.site.mkdir()
        (cls.site / "site.yaml").write_text(
            "schema: busbar/chips/v1\nsources:\n  ours: {ref: our lab}\nfamilies:\n- id: nvidia\n  models:\n"
            "  - {id: nvidia-x1, name: X1, aliases: [X1], confidence: none, sources: [ours]}\n")
        cls.server = Server("--set", f"chips_dir={cls.site}", "--set", "cpu_cards=2").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.folder.cleanup()

    def dry_run(self, chip):
        done = self.server.cli("run", "--dry-run", "--json", "--accelerators", f"{chip}:1", "--", "true", check=0)
        return json.loads(done.stdout)

    def test_every_model_can_be_asked_for_and_shows_its_edits(self):
        code, out, err = busbar("chips", "--json", "--chips-dir", str(self.site))
        self.assertEqual(0, code, err)
        models = json.loads(out)["chips"]
        self.assertGreaterEqual(len(models), 148)
        for model in models:
            with self.subTest(chip=model["id"]):
                assumed = self.dry_run(model["id"])["assumed"]
                self.assertEqual([model["id"]], [one["chip"] for one in assumed])
                edits = assumed[0]["edits"]
                if model["class"] == "cpu":
                    self.assertEqual([0], edits["cpuSet"])
                elif model["has_injection_rule"]:
                    self.assertTrue(edits["deviceNodes"])
                else:
                    self.assertIn(f"{model['id']}: {NO_RULE}", edits["remarks"])

    def test_a_name_of_several_models_shows_each_the_fastest_first(self):
        self.assertEqual(["nvidia-h100-sxm5", "nvidia-h100-nvl", "nvidia-h100-pcie"],
                         [one["chip"] for one in self.dry_run("H100")["assumed"]])

    def test_people_read_the_edits_and_why_there_is_no_placement(self):
        out = self.server.cli("run", "--dry-run", "-G", "vastai-sv100:1", "--", "true", check=0).stdout
        self.assertIn(NO_RULE, out)
        self.assertIn("no node has chip vastai-sv100", out)

    def test_an_unknown_name_is_an_error_with_the_nearest(self):
        done = self.server.cli("run", "--accelerators", "H10O:8", "--", "true")
        self.assertNotEqual(0, done.returncode)
        self.assertIn('did you mean "h100"?', done.stdout + done.stderr)

    def test_a_mistake_in_a_site_file_has_its_file_and_line(self):
        bad = pathlib.Path(self.folder.name) / "bad"
        bad.mkdir()
        (bad / "x.yaml").write_text("schema: busbar/chips/v1\nfamilies:\n- id: nvidia\n  models:\n"
                                    "  - {id: nvidia-t4, memory_gb: 16GB}\n")
        code, _, err = busbar("chips", "--chips-dir", str(bad))
        self.assertNotEqual(0, code)
        self.assertIn(f"{bad}/x.yaml:5:", err)
        self.assertIn("unit", err)


if __name__ == "__main__":
    unittest.main()
