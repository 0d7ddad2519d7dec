"""What whoever runs a server meets: its metrics."""

import re
import unittest

from harness import Server, job, needs_containers


def metric(text, name):
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE).group(1))


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
