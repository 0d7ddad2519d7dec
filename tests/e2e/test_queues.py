"""Queues on the real engine: the tree, preemption with its checkpoint signal, reclaim, and what was used."""

import csv
import io
import json
import tempfile
import unittest

from harness import ApiError, Server, job, needs_containers

SAVES = "trap 'echo saved; exit 0' USR1; echo ready; while :; do sleep 0.05; done"


@needs_containers
class Queues(unittest.TestCase):
    def setUp(self):
        self.server = Server("--cpu-cards", "4").start()
        self.addCleanup(self.server.close)

    def queue(self, name):
        return next(q for q in self.server.api("GET", "/v1/queues")["queues"] if q["name"] == name)

    def start(self, text, cards, **fields):
        submitted = self.server.submit(job(text, resources={"accelerators": f"cpu:{cards}"}, **fields))[0]
        return self.server.wait_job(submitted["id"], until=lambda status: status["state"] == "running")["id"]

    def test_a_job_of_higher_priority_takes_the_cards_and_the_other_one_saves_and_comes_back(self):
        low = self.start(SAVES, 4, checkpoint={"signal": "SIGUSR1", "grace": "30s"})
        self.server.wait_line(low, "ready")
        high = self.server.submit(job("true", priority=5, resources={"accelerators": "cpu:2"}))[0]["id"]
        self.assertEqual("succeeded", self.server.wait_job(high)["state"])
        again = self.server.wait_job(low, until=lambda status: status["attempt"] == 2 and status["state"] == "running")
        self.assertEqual("preempted", again["attempts"][0]["exit_class"])
        self.assertIn(f"for job {high}", again["attempts"][0]["reason"])
        self.assertIn("saved", self.server.logs(low))

    def test_a_queue_gets_back_what_it_is_guaranteed_also_after_a_crash(self):
        self.server.cli("queues", "set", "a", "--guarantee", "2", check=0)
        self.server.cli("queues", "set", "b", "--guarantee", "2,cpu=2", "--weight", "2", check=0)
        kept = self.start("sleep 1000", 2, queue="b")
        borrower = self.start("sleep 1000", 2, queue="b")
        self.assertEqual(2000, self.queue("b")["borrowed_milli_cards"])
        self.server.kill9()
        self.server.start()
        self.assertEqual(2000, self.queue("b")["borrowed_milli_cards"])
        owner = self.start("sleep 1000", 2, queue="a")
        self.assertEqual("running", self.server.job(kept)["state"])
        self.assertEqual("preempted", self.server.job(borrower)["attempts"][0]["exit_class"])
        self.assertEqual(0, self.queue("b")["borrowed_milli_cards"])
        self.assertTrue(owner)

    def test_the_tree_is_shown_changed_and_kept_valid(self):
        self.server.cli("queues", "set", "top", "--guarantee", "3", "--limit", "4", check=0)
        self.server.cli("queues", "set", "leaf", "--parent", "top", "--guarantee", "2", check=0)
        shown = self.server.cli("queues", check=0).stdout
        self.assertRegex(shown, r"(?m)^top +3 +4 ")
        self.assertRegex(shown, r"(?m)^  leaf +2 +- ")
        refused = self.server.cli("queues", "set", "more", "--parent", "top", "--guarantee", "2")
        self.assertEqual(2, refused.returncode, refused.stderr)
        self.assertIn("guaranteed 4 cards of its 3 cards", refused.stderr)
        with self.assertRaises(ApiError):
            self.server.submit(job("true", queue="top"))
        blocked = self.server.submit(job("true", nodes=2, queue="leaf", resources={"accelerators": "cpu:2"},
                                         preemptible=False))[0]
        self.assertEqual("blocked", blocked["state"])
        why = self.server.api("GET", f"/v1/jobs/{blocked['id']}/why")
        self.assertEqual("infeasible_quota", why["constraint"])

    def test_policy_diff_says_what_would_happen_and_changes_nothing(self):
        running = self.start("sleep 1000", 3)
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write('[[queues]]\nname = "default"\nlimit = 2\nenforce = "now"\n')
            file.flush()
            diff = json.loads(self.server.cli("policy", "diff", file.name, "--json", check=0).stdout)
        self.assertEqual([(running, "stops")], [(one["job"], one["change"]) for one in diff["jobs"]])
        self.assertEqual("running", self.server.job(running)["state"])
        self.assertEqual(-1, self.queue("default")["limit_milli_cards"])

    def test_usage_adds_up_to_the_jobs_own_accounts(self):
        done = self.server.submit(job("sleep 0.3", resources={"accelerators": "cpu:2"}))[0]["id"]
        account = self.server.wait_job(done)["efficiency"]
        rows = json.loads(self.server.cli("usage", "--by", "job", "--json", check=0).stdout)["rows"]
        row = next(one for one in rows if one["job"] == done)
        self.assertEqual(account["total_milli_card_ms"] - account["milli_card_ms"]["queue"],
                         row["allocated_milli_card_ms"])
        by_queue = json.loads(self.server.cli("usage", "--json", check=0).stdout)["rows"]
        self.assertEqual(sum(one["allocated_milli_card_ms"] for one in rows),
                         sum(one["allocated_milli_card_ms"] for one in by_queue))
        table = list(csv.DictReader(io.StringIO(self.server.cli("usage", "--by", "user", "--csv", check=0).stdout)))
        self.assertEqual(["1"], [line["jobs"] for line in table])


if __name__ == "__main__":
    unittest.main()
