"""Live gangs on the real engine: tasks come and go while the others run on, in one attempt."""

import re
import subprocess
import unittest

from harness import Server, job, needs_containers

# Task 0 lives through every change. Each task says when it begins and ends, and who belongs to the gang whenever that
# changes; task 0 ends with the gang when it is told to by a file.
TASK = """
import os, pathlib, signal, sys, time
import busbar

rank = os.environ["BUSBAR_TASK_RANK"]

def leave(*_):
    print("task", rank, "leaves", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, leave)
print("task", rank, "begins", flush=True)
known = None
while not pathlib.Path("done").exists():
    now = [member["rank"] for member in busbar.members()]
    if now != known:
        known = now
        print("task", rank, "sees", now, flush=True)
    time.sleep(0.05)
print("task", rank, "is done", flush=True)
"""

ENV = {"BUSBAR_SCHED_LIVE_RESIZE_COST": "0s", "BUSBAR_SCHED_LIVE_RESIZE_INTERVAL": "0s"}


def milli_card_ms(server, status):
    """What the events say that the job has had: what it asked for while it waited, then what it held."""
    tasks, since, total = 3, status["submitted_ms"], 0
    for event in server.api("GET", f"/v1/events?job={status['id']}")["events"]:
        size = {"placed": 1, "grown": 3, "shrunk": 2}.get(event["kind"])
        if event["kind"] in ("placed", "grown", "shrunk", "succeeded"):
            total += (event["time_ms"] - since) * tasks * 1000
            since, tasks = event["time_ms"], size
    return total


def follow_until(server, gang, is_there):
    """Reads the log of all tasks until `is_there` of all that it has said."""
    text = ""
    with server.request("GET", f"/v1/jobs/{gang}/logs?follow=true") as stream:
        for raw in stream:
            if raw.startswith(b"data:"):
                text += raw.decode(errors="replace")
                if is_there(text):
                    return
    raise AssertionError(f"the log ended before that: {text[-2000:]}")


@needs_containers
class Live(unittest.TestCase):
    def setUp(self):
        self.server = Server("--cpu-cards", "3", env=ENV).start()
        self.addCleanup(self.server.close)
        self.folder = self.server.state_dir / "work"
        self.folder.mkdir()

    def submit(self, run, nodes, **fields):
        return self.server.submit(job(run, nodes=nodes, resources={"accelerators": "cpu:1"}, launcher="none",
                                      workdir=str(self.folder), **fields))[0]["id"]

    def running(self, job_id, tasks):
        def is_there(status):
            current = status["attempts"][-1]["tasks"] if status["attempts"] else []
            return len(current) == tasks and all(task["state"] == "running" for task in current)
        status = self.server.wait_job(job_id, until=is_there)
        self.assertEqual(("running", 1), (status["state"], status["attempt"]))
        return status

    def pid_of_first(self, gang):
        """Of task 0's first process: its container's, as the machine sees it."""
        return (self.server.state_dir / "attempts" / f"{gang}.1" / "0" / "init.pid").read_text()

    def grown(self, **fields):
        other = self.submit("sleep 1000", 2)
        self.running(other, 2)
        gang = self.submit(f"exec python3 -u -c '{TASK}'", "1..3", elastic="live", time_limit="1h", **fields)
        self.running(gang, 1)
        self.server.wait_line(gang, "task 0 sees [0]")
        pid = self.pid_of_first(gang)
        self.server.cli("stop", str(other), check=0)
        self.running(gang, 3)
        self.server.wait_line(gang, "task 1 begins")
        self.server.wait_line(gang, "task 2 begins")
        self.server.wait_line(gang, "task 0 sees [0, 1, 2]")
        return gang, pid

    def test_a_gang_grows_and_shrinks_while_its_first_task_runs_on(self):
        gang, pid = self.grown()
        urgent = self.submit("sleep 1000", 1, priority=5)
        self.running(urgent, 1)
        self.running(gang, 2)
        self.server.wait_line(gang, "task 0 sees [0, 1]")
        self.assertEqual(pid, self.pid_of_first(gang))

        (self.folder / "done").touch()
        status = self.server.wait_job(gang)
        self.assertEqual(("succeeded", 1, 0), (status["state"], status["attempt"], status["restarts"]))
        said = self.server.logs(gang)
        self.assertEqual(1, said.count("task 0 begins"))
        self.assertIn("task 2 leaves", said)
        self.assertIn("task 0 is done", said)

        shown = self.server.cli("describe", str(gang), check=0).stdout
        events = self.server.cli("events", str(gang), check=0).stdout
        self.assertRegex(events, r"from 1 to 3 tasks: 1: \S+ \(cpu \d\); 2: \S+ \(cpu \d\) - 3 tasks instead of 1 save")
        self.assertIn(f"from 3 to 2 tasks: for job {urgent} of higher priority (5 over 0)", events)
        self.assertRegex(shown, r"(?m)^ +2 +\S+ +\S.* left ")
        # Events are written a moment after the account took the time.
        total = status["efficiency"]["total_milli_card_ms"]
        self.assertAlmostEqual(milli_card_ms(self.server, status), total, delta=3000 * 100)
        self.assertEqual(total, sum(status["efficiency"]["milli_card_ms"].values()))

    def test_a_task_that_is_deaf_is_killed_and_the_others_run_on(self):
        gang = self.submit("trap '' TERM; echo deaf; while :; do sleep 0.1; done", "1..3", elastic="live",
                           time_limit="1h", checkpoint={"grace": "1s"})
        self.running(gang, 3)
        urgent = self.submit("sleep 0.1", 2, priority=5)
        self.assertEqual("succeeded", self.server.wait_job(urgent)["state"])
        self.assertEqual("running", self.server.job(gang)["state"])

    def test_a_growth_goes_on_after_a_crash_of_the_server(self):
        gang, pid = self.grown()
        self.server.kill9()
        self.server.start()
        self.running(gang, 3)
        self.assertEqual(pid, self.pid_of_first(gang))
        urgent = self.submit("sleep 1000", 1, priority=5)
        self.server.wait_job(gang, until=lambda status: any(task["state"] == "leaving" or len(
            status["attempts"][-1]["tasks"]) == 2 for task in status["attempts"][-1]["tasks"]))
        self.server.kill9()
        self.server.start()
        self.running(urgent, 1)
        self.running(gang, 2)
        self.assertEqual(pid, self.pid_of_first(gang))
        self.assertEqual(1, self.server.logs(gang).count("task 1 begins"), "nothing is made twice")
        (self.folder / "done").touch()
        self.assertEqual("succeeded", self.server.wait_job(gang)["state"])

    def test_a_rank_that_is_given_again_is_a_new_task(self):
        gang, _ = self.grown()
        urgent = self.submit("sleep 1000", 1, priority=5)
        self.running(urgent, 1)
        self.running(gang, 2)
        self.server.cli("stop", str(urgent), check=0)
        self.running(gang, 3)
        follow_until(self.server, gang, lambda text: text.count("task 2 begins") == 2)
        self.server.kill9()
        self.server.start()
        self.running(gang, 3)
        said = self.server.logs(gang)
        self.assertEqual((1, 2, 1), tuple(said.count(text) for text in ("task 1 begins", "task 2 begins", "task 2 leaves")))


HAS_TORCH = subprocess.run(["/usr/bin/python3", "-c", "import torch"], capture_output=True).returncode == 0

# What torchrun starts: says how many they are whenever they meet, and works together until told to end.
WORKER = """
import os, pathlib, sys, time
import torch, torch.distributed as dist

dist.init_process_group("gloo")
if dist.get_rank() == 0:
    print("world size", dist.get_world_size(), flush=True)
while True:
    done = torch.tensor([1.0 if pathlib.Path("done").exists() else 0.0])
    dist.all_reduce(done)
    if done.item() > 0:
        break
    time.sleep(0.1)
if dist.get_rank() == 0:
    print("all are done", flush=True)
dist.destroy_process_group()
"""


@needs_containers
@unittest.skipUnless(HAS_TORCH, "needs python3-torch")
class LiveTorchrun(unittest.TestCase):
    def test_torchrun_takes_tasks_in_and_lets_them_go(self):
        server = Server("--cpu-cards", "3", env=ENV).start()
        self.addCleanup(server.close)
        folder = server.state_dir / "work"
        folder.mkdir()
        (folder / "worker.py").write_text(WORKER)

        def submit(run, nodes, **fields):
            return server.submit(job(run, nodes=nodes, resources={"accelerators": "cpu:1"}, workdir=str(folder),
                                     **fields))[0]["id"]

        other = submit("sleep 1000", 1, launcher="none")
        server.wait_job(other, until=lambda status: status["state"] == "running")
        gang = submit("exec /usr/bin/python3 -m torch.distributed.run worker.py", "2..3", elastic="live",
                      launcher="torchrun", time_limit="1h", checkpoint={"grace": "5s"})
        server.wait_line(gang, "world size 2")
        server.cli("stop", str(other), check=0)
        server.wait_line(gang, "world size 3")
        urgent = submit("sleep 1000", 1, launcher="none", priority=5)
        server.wait_job(urgent, until=lambda status: status["state"] == "running")

        def sizes(text):
            found = re.findall(r"world size (\d)", text)
            return [size for size, before in zip(found, [None, *found]) if size != before]
        follow_until(server, gang, lambda text: sizes(text) == ["2", "3", "2"])
        (folder / "done").touch()
        status = server.wait_job(gang)
        self.assertEqual(("succeeded", 1), (status["state"], status["attempt"]), server.logs(gang))


if __name__ == "__main__":
    unittest.main()
