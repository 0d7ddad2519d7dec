"""Jobs from submission to their end on the real engine: what a user sees of them."""

import json
import os
import pathlib
import re
import unittest

from harness import ROOT, ApiError, Server, job, needs_containers


@needs_containers
class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--cpu-cards", "4").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def run_job(self, text, **fields):
        submitted = self.server.submit(job(text, **fields))[0]
        return self.server.wait_job(submitted["id"])

    def test_a_job_runs_in_its_own_namespaces_and_its_output_is_kept(self):
        status = self.run_job("echo pid=$$ host=$(hostname); ls /proc | grep -c '^[0-9]'; echo oops >&2")
        self.assertEqual("succeeded", status["state"])
        lines = self.server.logs(status["id"]).splitlines()
        self.assertRegex(lines[0], r"^pid=\d{1,2} host=t")
        self.assertLess(int(lines[1]), 10)
        self.assertIn("oops", lines)

    def test_the_exit_code_of_run_is_the_jobs(self):
        done = self.server.cli("run", "--cpus", "1", "--", "sh", "-c", "echo hello; exit 7")
        self.assertEqual(7, done.returncode, done.stderr)
        self.assertIn("hello", done.stdout)

    def test_a_failing_job_says_which_task_failed_and_how(self):
        status = self.run_job("[ $NODE_RANK = 0 ] || exit 3; sleep 1000", nodes=2)
        self.assertEqual(("failed", "user", 3), (status["state"], status["exit_class"], status["exit_code"]))
        tasks = status["attempts"][-1]["tasks"]
        self.assertEqual(3, tasks[1]["exit_code"])
        self.assertEqual("ended", tasks[0]["state"])

    def test_a_gang_starts_together_in_two_containers(self):
        status = self.run_job("echo rank $NODE_RANK of $NNODES on $(hostname)", nodes=2,
                              resources={"accelerators": "cpu:1"})
        self.assertEqual("succeeded", status["state"])
        lines = sorted(self.server.logs(status["id"]).splitlines())
        self.assertEqual(2, len({line.split()[-1] for line in lines}), lines)
        self.assertIn("rank 0 of 2", lines[0])
        self.assertIn("rank 1 of 2", lines[1])
        self.assertNotEqual(status["attempts"][0]["tasks"][0]["cards"], status["attempts"][0]["tasks"][1]["cards"])

    def test_a_job_over_its_time_limit_is_stopped_and_says_so(self):
        status = self.run_job("echo begun; sleep 1000", time_limit="1s")
        self.assertEqual(("failed", "time_limit"), (status["state"], status["exit_class"]))

    def test_a_job_over_its_memory_limit_is_told_from_a_crash(self):
        status = self.run_job("/usr/bin/python3 -c 'x = bytearray(300 << 20)'", resources={"memory": "64M"})
        self.assertEqual(("failed", "oom"), (status["state"], status["exit_class"]))
        self.assertIn("64", status["attempts"][-1]["tasks"][0]["detail"])
        killed = self.run_job("kill -9 $$", resources={"memory": "64M"})
        self.assertEqual("user", killed["exit_class"])

    def test_stop_gives_the_job_time_to_save(self):
        text = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
        submitted = self.server.submit(job(text))[0]
        self.wait_line(submitted["id"], "ready")
        self.server.cli("stop", str(submitted["id"]), check=0)
        status = self.server.wait_job(submitted["id"])
        self.assertEqual("cancelled", status["state"])
        self.assertIn("saved", self.server.logs(submitted["id"]))

    def test_stop_kills_what_does_not_listen(self):
        submitted = self.server.submit(job("trap '' TERM; echo ready; while :; do sleep 0.05; done"))[0]
        self.wait_line(submitted["id"], "ready")
        self.server.cli("stop", "--grace", "1s", str(submitted["id"]), check=0)
        status = self.server.wait_job(submitted["id"])
        self.assertEqual("cancelled", status["state"])
        self.assertEqual(137, status["attempts"][-1]["tasks"][0]["exit_code"])

    def wait_line(self, job_id, text):
        with self.server.request("GET", f"/v1/jobs/{job_id}/logs?follow=true") as stream:
            for raw in stream:
                if raw.startswith(b"data:") and text in json.loads(raw[5:]).get("text", ""):
                    return
        self.fail(f"job {job_id} never printed {text!r}")

    def test_a_restarted_job_counts_its_attempts(self):
        status = self.run_job("echo attempt $BUSBAR_ATTEMPT; [ $BUSBAR_ATTEMPT = 2 ]", restart={"max": 2})
        self.assertEqual(("succeeded", 2, 1), (status["state"], status["attempt"], status["restarts"]))
        self.assertEqual(["attempt 1", "attempt 2"], self.server.logs(status["id"]).splitlines())

    def test_an_array_runs_each_index(self):
        jobs = self.server.submit(job("echo index $BUSBAR_ARRAY_INDEX", array="0-3%2"))
        self.assertEqual(4, len(jobs))
        for index, member in enumerate(jobs):
            status = self.server.wait_job(member["id"])
            self.assertEqual("succeeded", status["state"])
            self.assertEqual([f"index {index}"], self.server.logs(member["id"]).splitlines())

    def test_a_dependent_job_waits_and_one_that_cannot_start_is_cancelled(self):
        first = self.server.submit(job("sleep 0.3; exit 1"))[0]
        dependent = self.server.submit(job("echo never", after=[str(first["id"])]))[0]
        anyway = self.server.submit(job("echo always", after=[f"any:{first['id']}"]))[0]
        self.assertEqual("dependency", self.server.api("GET", f"/v1/jobs/{dependent['id']}/why")["constraint"])
        self.assertEqual("cancelled", self.server.wait_job(dependent["id"])["state"])
        self.assertEqual("succeeded", self.server.wait_job(anyway["id"])["state"])

    def test_a_secret_is_a_file_in_memory_and_nowhere_else(self):
        value = "hunter2-" + "x" * 20
        self.server.cli("secret", "set", "hf_token", input=value, check=0)
        status = self.run_job("cat /run/secrets/hf_token | wc -c; stat -f -c %T /run/secrets; "
                              "test \"$HF\" = \"$(cat /run/secrets/hf_token)\" && echo same; sleep 0.2",
                              secrets={"HF": "hf_token"})
        self.assertEqual("succeeded", status["state"], status)
        lines = self.server.logs(status["id"]).splitlines()
        self.assertEqual([str(len(value)), "tmpfs", "same"], lines)
        for path in pathlib.Path(self.server.state_dir).rglob("*"):
            if path.is_file():
                self.assertNotIn(value.encode(), path.read_bytes(), path)

    def test_an_unknown_secret_is_refused_at_once(self):
        with self.assertRaisesRegex(ApiError, "no_such"):
            self.server.submit(job("true", secrets=["no_such"]))

    def test_a_task_cannot_read_the_token_or_the_state(self):
        token_path = self.server.state_dir / "token"
        status = self.run_job(f"cat {token_path}; ls -A {self.server.state_dir}; cat /etc/shadow; ls -A /root; echo done")
        output = self.server.logs(status["id"])
        self.assertNotIn(self.server.token, output)
        self.assertNotIn("busbar.db", output)
        self.assertNotIn("root:", output)

    def test_the_host_is_not_changed_by_what_a_job_writes(self):
        marker = f"/usr/local/busbar-e2e-{os.getpid()}"
        status = self.run_job(f"touch {marker} && ls {marker}")
        self.assertEqual("succeeded", status["state"])
        self.assertFalse(os.path.exists(marker))

    def test_volumes_are_mounted_as_asked(self):
        shared = self.server.state_dir.parent / f"bb-volume-{os.getpid()}"
        shared.mkdir()
        try:
            (shared / "in").write_text("from outside\n")
            status = self.run_job("cat /data/in; echo back > /data/out; echo no > /ro/x", volumes=[
                f"{shared}:/data", f"{shared}:/ro:ro"])
            self.assertEqual("failed", status["state"])
            self.assertEqual("back\n", (shared / "out").read_text())
            self.assertFalse((shared / "x").exists())
        finally:
            for child in shared.iterdir():
                child.unlink()
            shared.rmdir()

    def test_exec_runs_a_command_inside(self):
        submitted = self.server.submit(job("echo ready; sleep 1000"))[0]
        self.server.wait_job(submitted["id"], until=lambda status: status["state"] == "running")
        done = self.server.cli("exec", "-i", str(submitted["id"]), "--", "sh", "-c", "hostname; cat; exit 5", input="stdin\n")
        self.assertEqual(5, done.returncode, done.stderr)
        self.assertIn("stdin", done.stdout)
        self.server.cli("stop", "--grace", "0s", str(submitted["id"]), check=0)
        self.server.wait_job(submitted["id"])

    def test_the_same_client_key_gives_the_same_job(self):
        first = self.server.submit(job("true"), client_key="k-1")[0]
        again = self.server.api("POST", "/v1/jobs", {"file": job("true"), "client_key": "k-1"})
        self.assertTrue(again["repeated"])
        self.assertEqual(first["id"], again["jobs"][0]["id"])
        self.server.wait_job(first["id"])
        after = self.server.api("POST", "/v1/jobs", {"file": job("true"), "client_key": "k-1"})
        self.assertEqual(first["id"], after["jobs"][0]["id"])

    def test_why_names_the_constraint_and_what_would_help(self):
        holder = self.server.submit(job("sleep 1000", resources={"accelerators": "cpu:4"}))[0]
        self.server.wait_job(holder["id"], until=lambda status: status["state"] == "running")
        waiting = self.server.submit(job("true", resources={"accelerators": "cpu:3"}))[0]
        why = self.server.api("GET", f"/v1/jobs/{waiting['id']}/why")
        self.assertEqual("capacity", why["constraint"])
        self.assertTrue(any(holder["id"] in change.get("jobs", []) for change in why["changes"]), why)
        reason = json.loads(self.server.cli("why", str(waiting["id"]), "--reason", "--json", check=0).stdout)
        self.assertEqual((why["text"], []), (reason["text"], reason.get("changes", [])))
        self.server.cli("stop", "--grace", "0s", str(holder["id"]), check=0)
        self.assertEqual("succeeded", self.server.wait_job(waiting["id"])["state"])

    def test_what_can_never_fit_is_refused_with_the_proof(self):
        with self.assertRaisesRegex(ApiError, "4") as caught:
            self.server.submit(job("true", resources={"accelerators": "cpu:400"}))
        self.assertEqual(422, caught.exception.status)

    def test_every_error_of_a_file_comes_in_one_answer(self):
        with self.assertRaises(ApiError) as caught:
            self.server.submit("name: Bad Name\nrun: true\nnoodles: 3\nresources:\n  memory: lots\n")
        diagnostics = json.loads(caught.exception.body)["error"]["diagnostics"]
        self.assertEqual([1, 3, 5], [one["line"] for one in diagnostics])

    def test_dry_run_starts_nothing_and_shows_everything(self):
        before = len(self.server.jobs())
        answer = self.server.api("POST", "/v1/jobs", {"file": job("true", resources={"accelerators": "cpu:1"}),
                                                      "dry_run": True})
        task = answer["dry_run"]["tasks"][0]
        self.assertIn("BUSBAR_JOB_NAME", task["env"])
        self.assertEqual("1.0.2", task["oci_config"]["ociVersion"][:5])
        self.assertEqual(before, len(self.server.jobs()))

    def test_card_seconds_add_up_exactly(self):
        status = self.run_job("sleep 0.3", resources={"accelerators": "cpu:2"})
        efficiency = status["efficiency"]
        parts = efficiency["milli_card_ms"]
        values = parts.values() if isinstance(parts, dict) else [value for _, value in parts]
        wall_ms = status["ended_ms"] - status["submitted_ms"]
        self.assertEqual(wall_ms * 2000, efficiency["total_milli_card_ms"])
        self.assertEqual(efficiency["total_milli_card_ms"], sum(values))

    def test_a_request_without_the_token_is_refused(self):
        with self.assertRaises(ApiError) as caught:
            self.server.api("GET", "/v1/jobs", token="wrong")
        self.assertEqual(401, caught.exception.status)

    def test_the_servers_own_documents_are_served(self):
        self.assertEqual("3.1.0", self.server.api("GET", "/openapi.json")["openapi"])
        self.assertIn("properties", self.server.api("GET", "/v1/schema/job.json"))
        with self.server.request("GET", "/metrics") as answer:
            self.assertIn("busbar_control_jobs{", answer.read().decode())


if __name__ == "__main__":
    unittest.main()
