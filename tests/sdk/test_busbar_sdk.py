"""Tests of sdk/python/busbar.py, each in a fresh process as a training program would be."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SDK = pathlib.Path(__file__).resolve().parents[2] / "sdk" / "python"


class BusbarSdk(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="busbar-sdk-")
        self.addCleanup(self.folder.cleanup)
        self.report = pathlib.Path(self.folder.name) / "report.jsonl"

    def run_program(self, program, **env):
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SDK), "BUSBAR_REPORT_FILE": str(self.report)}
        variables.update(env)
        variables = {name: value for name, value in variables.items() if value is not None}
        return subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    def lines(self):
        return [json.loads(line) for line in self.report.read_text().splitlines()]

    def test_outside_busbar_nothing_happens(self):
        program = (
            "import busbar, os\n"
            "busbar.init(total_steps=3)\n"
            "busbar.step(loss=1.0, samples=5)\n"
            "with busbar.checkpoint('/x'): print('saved')\n"
            "busbar.message('m'); busbar.metric(a=1); busbar.flush()\n"
            "print(busbar.is_enabled(), os.listdir('.'))\n"
        )
        output = self.run_program(program, BUSBAR_REPORT_FILE=None)
        self.assertTrue(output.startswith("saved\nFalse"))
        self.assertFalse(self.report.exists())

    def test_steps_are_counted_and_add_up(self):
        self.run_program(
            "import busbar\n"
            "busbar.init(total_steps=3)\n"
            "for loss in (3.0, 2.0, 1.0): busbar.step(loss=loss, samples=10, tokens=100, learning_rate=0.5)\n"
        )
        lines = self.lines()
        self.assertEqual(lines[0]["kind"], "metric")
        self.assertEqual(lines[0]["total_steps"], 3)
        self.assertEqual(lines[1]["step"], 1)
        last = lines[-1]
        self.assertEqual((last["step"], last["samples"], last["tokens"], last["loss"]), (3, 30, 300, 1.0))
        self.assertEqual(last["metrics"], {"learning_rate": 0.5})

    def test_many_steps_make_few_lines_and_the_last_is_not_lost(self):
        self.run_program("import busbar\nfor i in range(10000): busbar.step(loss=i)\n")
        lines = self.lines()
        self.assertLess(len(lines), 50)
        self.assertEqual(lines[-1]["step"], 10000)

    def test_a_resumed_job_goes_on_counting(self):
        self.run_program("import busbar\nbusbar.init(first_step=40, samples=400)\nbusbar.step(samples=10)\n")
        self.assertEqual((self.lines()[-1]["step"], self.lines()[-1]["samples"]), (41, 410))

    def test_only_rank_zero_reports(self):
        self.run_program("import busbar\nbusbar.step()\n", RANK="1", BUSBAR_TASK_RANK="0")
        self.assertFalse(self.report.exists())
        self.run_program("import busbar\nbusbar.step()\n", BUSBAR_TASK_RANK="1")
        self.assertFalse(self.report.exists())
        self.run_program("import busbar\nbusbar.init(every_rank=True)\nbusbar.step()\n", RANK="1")
        self.assertTrue(self.report.exists())

    def test_checkpoints_have_a_beginning_and_an_end(self):
        self.run_program("import busbar\nbusbar.step(loss=1)\nwith busbar.checkpoint('/ckpt/1'): pass\n")
        self.assertEqual([line["kind"] for line in self.lines()], ["step", "checkpoint_begin", "checkpoint_end"])
        self.assertEqual(self.lines()[-1]["text"], "/ckpt/1")

    def test_a_failed_checkpoint_has_no_end_and_its_error_goes_on(self):
        output = self.run_program(
            "import busbar\n"
            "try:\n"
            "  with busbar.checkpoint('/ckpt/1'): raise OSError('disk full')\n"
            "except OSError as error: print(error)\n"
        )
        self.assertEqual(output, "disk full\n")
        self.assertEqual([line["kind"] for line in self.lines()], ["checkpoint_begin"])

    def test_what_is_no_number_is_left_out(self):
        self.run_program(
            "import busbar\n"
            "busbar.step(loss=float('nan'), samples='many', bad=object(), good=1)\n"
            "busbar.metric(infinite=float('inf'))\n"
        )
        step, message = self.lines()
        self.assertNotIn("loss", step)
        self.assertEqual(step["metrics"], {"good": 1.0})
        self.assertIn("not a finite number at step 1", message["text"])

    def test_never_raises_when_the_file_cannot_be_written(self):
        output = self.run_program(
            "import busbar\nbusbar.init(total_steps=1)\nbusbar.step()\nbusbar.message('x')\nprint('alive')\n",
            BUSBAR_REPORT_FILE="/nonexistent/folder/report.jsonl",
        )
        self.assertEqual(output, "alive\n")

    def test_forked_children_do_not_report(self):
        self.run_program(
            "import busbar, os\n"
            "busbar.step()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "  busbar.message('child'); os._exit(0)\n"
            "os.waitpid(child, 0)\n"
        )
        self.assertEqual([line["kind"] for line in self.lines()], ["step"])

    def test_threads_write_whole_lines(self):
        self.run_program(
            "import busbar, threading\n"
            "def work():\n"
            "  for i in range(200): busbar.message('x' * 1000)\n"
            "threads = [threading.Thread(target=work) for _ in range(4)]\n"
            "[t.start() for t in threads]; [t.join() for t in threads]\n"
        )
        self.assertEqual(len(self.lines()), 800)

    def test_the_checkpoint_folder_comes_from_the_job_file(self):
        program = "import busbar\nprint(busbar.checkpoint_dir('here'))\n"
        self.assertEqual(self.run_program(program, BUSBAR_CHECKPOINT_DIR="/ckpt"), "/ckpt\n")
        self.assertEqual(self.run_program(program), "here\n")

    def test_the_members_of_a_live_gang_are_read_anew_each_time(self):
        path = pathlib.Path(self.folder.name) / "members.json"
        path.write_text(json.dumps({"generation": 1, "members": [{"rank": 0, "hostname": "a", "address": "1.2.3.4"}]}))
        program = (
            "import busbar, json, os\n"
            "print(busbar.members())\n"
            "open(os.environ['BUSBAR_MEMBERS'], 'w').write(json.dumps({'members': []}))\n"
            "print(busbar.members())\n"
        )
        output = self.run_program(program, BUSBAR_MEMBERS=str(path))
        self.assertEqual(output, "[{'rank': 0, 'hostname': 'a', 'address': '1.2.3.4'}]\n[]\n")
        self.assertEqual(self.run_program("import busbar\nprint(busbar.members())\n"), "[]\n")


if __name__ == "__main__":
    unittest.main()
