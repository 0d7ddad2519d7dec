"""Reservations and maintenance windows on the real engine, and when a waiting job starts."""

import json
import unittest

from harness import Server, job, needs_containers


@needs_containers
class Reservations(unittest.TestCase):
    def setUp(self):
        self.server = Server("--cpu-cards", "2").start()
        self.addCleanup(self.server.close)
        self.node = self.server.api("GET", "/v1/nodes")["nodes"][0]["name"]

    def submit(self, text, cards=1, **fields):
        return self.server.submit(job(text, resources={"accelerators": f"cpu:{cards}"}, **fields))[0]["id"]

    def reservations(self):
        return json.loads(self.server.cli("reservations", "--json", check=0).stdout)["reservations"]

    def test_maintenance_keeps_jobs_off_the_node_also_after_a_crash_until_it_is_cancelled(self):
        made = self.server.cli("reserve", "--name", "firmware", "--nodes", self.node, "--for", "2h", check=0)
        self.assertIn("nobody", made.stdout)
        waiting = self.submit("echo ran", time_limit="1m")
        self.assertEqual("queued", self.server.job(waiting)["state"])
        self.assertIn("1 node is reserved for others", self.server.cli("why", str(waiting), check=0).stdout)
        self.server.kill9()
        self.server.start()
        self.assertEqual(["firmware"], [entry["name"] for entry in self.reservations()])
        self.assertTrue(self.reservations()[0]["is_active"])
        self.assertEqual("queued", self.server.job(waiting)["state"])
        self.server.cli("reserve", "cancel", "firmware", check=0)
        self.assertEqual("succeeded", self.server.wait_job(waiting)["state"])
        self.assertEqual([], self.reservations())
        again = self.server.cli("reserve", "cancel", "firmware")
        self.assertEqual(5, again.returncode)
        self.assertIn('no reservation "firmware"', again.stderr)

    def test_a_node_is_kept_for_a_user_and_a_queue(self):
        user = self.server.job(self.submit("true"))["user"]
        self.server.cli("reserve", "--name", "a", "--nodes", self.node, "--for", "1h", "--users", f"ada,{user}", check=0)
        self.assertEqual("succeeded", self.server.wait_job(self.submit("true"))["state"])
        self.server.cli("queues", "set", "course", "--limit", "2", check=0)
        self.server.cli("reserve", "--name", "a", "--nodes", self.node, "--for", "1h", "--queues", "course", check=0)
        self.assertEqual(["course"], self.reservations()[0]["queues"])
        other = self.submit("true")
        self.assertEqual("succeeded", self.server.wait_job(self.submit("true", queue="course"))["state"])
        self.assertEqual("queued", self.server.job(other)["state"])

    def test_before_a_window_only_what_ends_in_time_starts_and_what_runs_is_left_alone(self):
        running = self.submit("sleep 1000")
        self.server.wait_job(running, until=lambda status: status["state"] == "running")
        made = self.server.cli("reserve", "--name", "later", "--nodes", self.node, "--from", "2h", "--for", "30m", check=0)
        self.assertIn("left alone", made.stderr)
        self.assertEqual([running], self.reservations()[0]["jobs_in_the_way"])
        endless = self.submit("true")
        self.assertEqual("succeeded", self.server.wait_job(self.submit("true", time_limit="5m"))["state"])
        self.assertEqual("queued", self.server.job(endless)["state"])
        self.assertEqual("running", self.server.job(running)["state"])

    def test_a_wrong_reservation_is_refused_with_what_to_do(self):
        for arguments, code, text in ((("--nodes", "nowhere", "--for", "1h"), 5, "nowhere"),
                                      (("--nodes", self.node), 2, "needs both"),
                                      (("--nodes", self.node, "--for", "1h", "--from", "someday"), 2, "is no time"),
                                      (("--nodes", self.node, "--for", "1h", "--queues", "q"), 5, 'no queue "q"')):
            with self.subTest(arguments):
                done = self.server.cli("reserve", *arguments)
                self.assertEqual(code, done.returncode, done.stderr)
                self.assertIn(text, done.stderr)
        self.assertEqual([], self.reservations())

    def test_when_a_waiting_job_starts_follows_from_the_time_limits(self):
        first = self.submit("sleep 1000", cards=2, time_limit="40m")
        self.server.wait_job(first, until=lambda status: status["state"] == "running")
        second = self.submit("true", cards=2)
        started_ms = self.server.job(first)["started_ms"]
        answer = json.loads(self.server.cli("when", str(second), "--json", check=0).stdout)
        self.assertEqual(answer["trials"], answer["starts"])
        # The core counts from when it heard of the start, which is a little after the engine's own time of it.
        self.assertLessEqual(started_ms + 40 * 60_000, answer["p50_ms"])
        self.assertLess(answer["p50_ms"], started_ms + 41 * 60_000)
        self.assertLessEqual(answer["p50_ms"], answer["p90_ms"])
        told = self.server.cli("when", str(second), check=0).stdout
        self.assertIn(f"Job {second} starts in 39m", told)
        self.assertIn("starts now", self.server.cli("when", str(first), check=0).stdout)
        self.assertEqual(5, self.server.cli("when", "4711").returncode)


if __name__ == "__main__":
    unittest.main()
