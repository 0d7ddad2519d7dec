"""What whoever runs a server meets: how long files stay, what the configuration is, metrics."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from harness import BINARY, Server, job, needs_containers


def metric(text, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))


def follow_events(server, wanted):
    """Reads the event stream from its beginning until as many events of each kind have come as `wanted` says."""
    missing = dict(wanted)
    events = []
    with server.request("GET", "/v1/events?follow=true", timeout=60) as stream:
        for raw in stream:
            line = raw.decode().rstrip("\r\n")
            if not line.startswith("data:"):
                continue
            event = json.loads(line[5:])
            events.append(event)
            if event["kind"] in missing:
                missing[event["kind"]] -= 1
            if all(count <= 0 for count in missing.values()):
                return events
    raise AssertionError(f"the stream ended; still missing {missing}")


@needs_containers
class Retention(unittest.TestCase):
    def attempts(self, server):
        return sorted(path.name for path in (server.state_dir / "attempts").iterdir() if path.name.count(".") == 1)

    def test_files_of_ended_jobs_stay_as_long_as_the_settings_say(self):
        server = Server("--cpu-cards", "2", "--set", "keep_ended_jobs=2").start()
        try:
            ids = []
            for number in range(4):
                ids.append(server.submit(job(f"echo output of {number}"))[0]["id"])
                server.wait_job(ids[-1])
            events = follow_events(server, {"files_deleted": 2})
            deleted = {event["job"]: event["text"] for event in events if event["kind"] == "files_deleted"}
            self.assertEqual(set(ids[:2]), set(deleted))
            self.assertIn("keep_ended_jobs", deleted[ids[0]])
            self.assertEqual([f"{ids[2]}.1", f"{ids[3]}.1"], self.attempts(server))

            gone = server.cli("logs", str(ids[0]))
            self.assertEqual(5, gone.returncode)
            self.assertIn(f"the logs of job {ids[0]} have been deleted", gone.stderr)
            self.assertIn("2 ended jobs (keep_ended_jobs)", gone.stderr)
            self.assertEqual(5, server.cli("logs", "-f", str(ids[0])).returncode)
            self.assertEqual("output of 3\n", server.cli("logs", str(ids[3]), check=0).stdout)
            self.assertIn("deleted", server.cli("describe", str(ids[1]), check=0).stdout)
            self.assertTrue(server.job(ids[1])["files_deleted"])
            self.assertFalse(server.job(ids[3])["files_deleted"])

            # A stricter rule after a crash, with a deletion that the crash had cut short.
            server.kill9()
            (server.state_dir / "attempts" / f"{ids[2]}.1").rename(server.state_dir / "attempts" / f"{ids[2]}.1.forgotten")
            server.flags[-1] = "keep_ended_jobs=1"
            server.start()
            self.assertEqual(5, server.cli("logs", str(ids[2])).returncode)
            last = server.submit(job("true"))[0]["id"]
            server.wait_job(last)
            follow_events(server, {"files_deleted": 3})
            self.assertEqual([f"{last}.1"], self.attempts(server))
            server.stop()
            names = [path.name for path in (server.state_dir / "attempts").iterdir()]
            self.assertEqual([f"{last}.1"], names, "nothing is left of what was forgotten")
        finally:
            server.close()

    def test_a_restored_older_state_does_not_meet_files_of_newer_jobs(self):
        server = Server("--cpu-cards", "2").start()
        try:
            with tempfile.TemporaryDirectory() as scratch:
                first = server.submit(job("echo first"))[0]["id"]
                server.wait_job(first)
                backup = pathlib.Path(scratch) / "b.db"
                server.cli("backup", str(backup), check=0)
                lost = server.submit(job("echo lost"))[0]["id"]
                server.wait_job(lost)
                server.stop()
                server.cli("restore", "--replace", str(backup), check=0)
                server.start()
                again = server.submit(job("echo again"))[0]["id"]
                self.assertGreater(again, lost)
                self.assertEqual("succeeded", server.wait_job(again)["state"])
                self.assertEqual("again\n", server.cli("logs", str(again), check=0).stdout)
        finally:
            server.close()


class Configuration(unittest.TestCase):
    def print_config(self, verb, *flags, **environment):
        done = subprocess.run([str(BINARY), verb, "--print-config", *flags], capture_output=True, text=True, timeout=60,
                              env={"HOME": "/nowhere", "PATH": "/usr/bin:/bin", **environment})
        return done

    def test_print_config_shows_each_value_and_where_it_is_from_and_starts_nothing(self):
        with tempfile.TemporaryDirectory() as scratch:
            config = pathlib.Path(scratch) / "b.toml"
            config.write_text('state_dir = "/nowhere/state"\nlog_level = "debug"\n')
            for verb in ("up", "server"):
                done = self.print_config(verb, "--config", str(config), "--set", "keep_ended_jobs=7",
                                         BUSBAR_PORT="1234")
                self.assertEqual(0, done.returncode, done.stderr)
                for line in (f'state_dir = "/nowhere/state"  # {config}:1', f'log_level = "debug"  # {config}:2',
                             "port = 1234  # BUSBAR_PORT", "keep_ended_jobs = 7  # flag", 'auth = "token"  # default'):
                    self.assertIn(line, done.stdout.splitlines())
                # What it prints is a configuration file that means the same.
                config_2 = pathlib.Path(scratch) / "again.toml"
                config_2.write_text(done.stdout)
                again = self.print_config(verb, "--config", str(config_2))
                strip = lambda text: re.sub(r"  # \S+$", "", text, flags=re.MULTILINE)
                self.assertEqual(strip(done.stdout), strip(again.stdout))
            as_json = json.loads(self.print_config("up", "--json", "--config", str(config)).stdout)
            self.assertEqual({"value": "debug", "source": f"{config}:2"}, as_json["settings"]["log_level"])
            self.assertFalse(pathlib.Path("/nowhere").exists())

    def test_a_wrong_setting_is_refused_with_its_place(self):
        done = self.print_config("up", "--set", "keep_ended_job=7")
        self.assertEqual(2, done.returncode)
        self.assertIn("did you mean keep_ended_jobs?", done.stderr)


@needs_containers
class MetricsPage(unittest.TestCase):
    def test_requests_connections_and_log_streams_are_counted(self):
        with Server("--cpu-cards", "2") as server:
            submitted = server.submit(job("echo one; echo two"))[0]["id"]
            server.wait_job(submitted)
            server.logs(submitted)
            server.cli("describe", "404")
            text = server.api_text("GET", "/metrics")
            self.assertEqual(1, metric(text, 'busbar_api_requests_total{route="submit",status="2xx"}'))
            self.assertEqual(1, metric(text, 'busbar_api_requests_total{route="jobs_read",status="4xx"}'))
            self.assertGreaterEqual(metric(text, 'busbar_api_requests_total{route="streams",status="2xx"}'), 2)
            self.assertEqual(1, metric(text, 'busbar_api_answer_seconds_count{route="submit"}'))
            self.assertGreaterEqual(metric(text, "busbar_net_connections"), 1)
            self.assertGreaterEqual(metric(text, "busbar_net_connections_total"), 4)
            self.assertEqual(2, metric(text, "busbar_logs_lines_total"))
            self.assertEqual(0, metric(text, "busbar_logs_gaps_total"))


if __name__ == "__main__":
    unittest.main()
