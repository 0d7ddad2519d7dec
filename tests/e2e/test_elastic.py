"""Elastic gangs on the real engine: they grow from a checkpoint when cards come free, and give some up for others."""

import json
import re
import unittest

from harness import Server, job, needs_containers
from test_services import Gateway, endpoints, get, service

# Each task says how large the gang is, then saves until it is told to stop.
SAVES = """
import os, signal, sys, time
import busbar

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("size", os.environ["NNODES"], flush=True)
while True:
    time.sleep(0.2)
    if os.environ["NODE_RANK"] == "0":
        with busbar.checkpoint("/tmp/checkpoint"):
            pass
"""


@needs_containers
class Elastic(unittest.TestCase):
    def setUp(self):
        self.server = Server("--cpu-cards", "4", env={"BUSBAR_SCHED_RESTART_COST": "0s"}).start()
        self.addCleanup(self.server.close)

    def submit(self, text, nodes, **fields):
        return self.server.submit(job(text, nodes=nodes, resources={"accelerators": "cpu:1"}, **fields))[0]["id"]

    def running(self, job_id, nodes, attempt=None):
        def is_there(status):
            current = status["attempts"][-1] if status["attempts"] else None
            return (status["state"] == "running" and len(current["tasks"]) == nodes and
                    (attempt is None or status["attempt"] == attempt))
        return self.server.wait_job(job_id, until=is_there)

    def elastic(self, nodes):
        return self.submit(f"exec python3 -u -c '{SAVES}'", nodes)

    def test_a_gang_grows_when_cards_come_free_and_shrinks_when_they_are_needed(self):
        first = self.submit("sleep 1000", 2)
        self.running(first, 2)
        gang = self.elastic("1..4")
        self.running(gang, 2)
        self.server.cli("stop", str(first), check=0)
        grown = self.running(gang, 4, attempt=2)
        self.assertRegex(grown["attempts"][0]["reason"],
                         r"^resized: 4 tasks instead of 2 save about .* of the .* that it may run still")
        self.server.wait_line(gang, "size 4")

        urgent = self.submit("sleep 0.1", 3, priority=5)
        self.assertEqual("succeeded", self.server.wait_job(urgent)["state"])
        shrunk = self.running(gang, 1, attempt=3)
        self.assertEqual(f"preempted: for job {urgent} of higher priority (5 over 0); goes on with 1 of 4 tasks",
                         shrunk["attempts"][1]["reason"])
        self.server.wait_line(gang, "size 1")
        shown = self.server.cli("describe", str(gang), check=0).stdout
        self.assertIn("goes on with 1 of 4 tasks", shown)

    def test_a_resize_goes_on_after_a_crash_of_the_server(self):
        first = self.submit("sleep 1000", 3)
        self.running(first, 3)
        gang = self.elastic("1..4")
        self.running(gang, 1)
        self.server.cli("stop", str(first), check=0)
        self.server.wait_job(gang, until=lambda status: status["state"] == "stopping")
        self.server.kill9()
        self.server.start()
        grown = self.running(gang, 4, attempt=2)
        self.assertRegex(grown["attempts"][0]["reason"], "^resized: ")

    def test_cards_that_a_service_does_not_need_are_lent_and_come_back_in_time(self):
        self.server.cli("queues", "set", "serving", "--guarantee", "3", check=0)
        self.server.cli("queues", "set", "training", "--reclaim-bound", "2s", check=0)
        gang = self.submit(f"exec python3 -u -c '{SAVES}'", "1..4", queue="training")
        self.running(gang, 4)
        queues = {one["name"]: one for one in self.server.api("GET", "/v1/queues")["queues"]}
        self.assertEqual(4000, queues["training"]["borrowed_milli_cards"])

        # Two replicas, two cards; the gang, which would take its time to save, goes on with the rest.
        spec = {**json.loads(service(replicas="0..2", target=1)), "queue": "serving",
                "resources": {"accelerators": "cpu:1"}}
        self.server.api("POST", "/v1/services", {"file": json.dumps(spec), "file_name": "echo.yaml"})
        self.addCleanup(self.server.api, "DELETE", "/v1/services/echo")
        gateway = Gateway(self.server)
        gateway.tell("echo", waiting=2, arrivals=2)
        table = gateway.wait(lambda table: len(endpoints(table)) >= 1)
        self.assertIn("by echo-1", get(endpoints(table)[0]))
        shrunk = self.running(gang, 3, attempt=2)
        self.assertRegex(shrunk["attempts"][0]["reason"],
                         'queue "serving" gets back what it is guaranteed .*; goes on with 3 of 4 tasks')
        took = re.search(r"(?m)^busbar_sched_reclaim_seconds_count (\d+)", self.server.api_text("GET", "/metrics"))
        self.assertGreaterEqual(int(took.group(1)), 1)

    def test_whoever_borrowed_gives_back_ready_or_not(self):
        self.server.cli("queues", "set", "serving", "--guarantee", "4", check=0)
        self.server.cli("queues", "set", "training", "--reclaim-bound", "1s", check=0)
        slow = self.server.submit(job("trap '' TERM; echo deaf; while :; do sleep 0.1; done", queue="training",
                                      resources={"accelerators": "cpu:4"}, checkpoint={"grace": "10m"}))[0]["id"]
        self.server.wait_line(slow, "deaf")
        owner = self.submit("true", 1, queue="serving")
        # The deadline is no less one after a crash in between.
        self.server.wait_job(slow, until=lambda status: status["state"] == "stopping")
        self.server.kill9()
        self.server.start()
        self.assertEqual("succeeded", self.server.wait_job(owner, deadline_s=60)["state"])
        self.assertEqual("preempted", self.server.job(slow)["attempts"][0]["exit_class"])


if __name__ == "__main__":
    unittest.main()
