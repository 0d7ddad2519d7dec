"""What whoever runs a server meets: its configuration and its metrics."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from harness import BINARY, Server, job, needs_containers


def metric(text, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))


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
                done = self.print_config(verb, "--config", str(config), "--set", "log_files=7",
                                         BUSBAR_PORT="1234")
                self.assertEqual(0, done.returncode, done.stderr)
                for line in (f'state_dir = "/nowhere/state"  # {config}:1', f'log_level = "debug"  # {config}:2',
                             "port = 1234  # BUSBAR_PORT", "log_files = 7  # flag", 'auth = "token"  # default'):
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
        done = self.print_config("up", "--set", "log_file_s=7")
        self.assertEqual(2, done.returncode)
        self.assertIn("did you mean log_files?", done.stderr)


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
