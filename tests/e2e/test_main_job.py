"""The main job: PyTorch DistributedDataParallel on the UCI digits, two containers, by the command a user would type."""

import pathlib
import re
import shutil
import unittest

from harness import ROOT, Server, needs_containers


@needs_containers
class MainJob(unittest.TestCase):
    def test_digits_trains_to_95_percent_and_accounts_every_card_second(self):
        with Server("--cpu-cards", "2") as server:
            # A copy: the job writes its checkpoints beside its file, and the source tree is not the test's to change.
            folder = server.state_dir.parent / (server.state_dir.name + "-examples")
            shutil.copytree(ROOT / "examples", folder)
            self.addCleanup(shutil.rmtree, folder)
            done = server.cli("apply", "-f", str(folder / "digits.yaml"), "--watch", timeout=600, check=0)
            self.assertRegex(done.stdout + done.stderr, r"step \d+/\d+, loss [\d.]+, [\d,]+ samples/s")
            status = server.job("digits")
            accuracy = dict(status["progress"]["metrics"]).get("test_accuracy")
            self.assertIsNotNone(accuracy, status["progress"])
            self.assertGreaterEqual(accuracy, 0.95)
            self.assertTrue(pathlib.Path(status["progress"]["last_checkpoint"]).exists())
            parts = status["efficiency"]["milli_card_ms"]
            values = dict(parts)
            wall_ms = status["ended_ms"] - status["submitted_ms"]
            self.assertEqual(2000 * wall_ms, sum(values.values()))
            self.assertGreater(values["compute"], 0)
            self.assertGreater(values["checkpoint"], 0)
            self.assertEqual(2, len(status["attempts"][0]["tasks"]))
            described = server.cli("describe", "digits", check=0).stdout
            self.assertIn("Where the card time went", described)


if __name__ == "__main__":
    unittest.main()
