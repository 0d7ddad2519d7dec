"""Services through the gateway that `busbar up` starts: what a client sees while replicas start, change and die."""

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
import unittest

from harness import BINARY, needs_containers, read_line
from serving import Clients, ServingTest
from test_services import endpoints, pid_listening_on, service


@needs_containers
class Serving(ServingTest):
    def test_the_first_request_starts_a_replica_and_is_answered(self):
        self.apply(service(replicas="0..2", target=1))
        routes = self.server.state_dir / "routes.json"
        end = time.monotonic() + 60
        while "echo" not in (routes.read_text() if routes.exists() else ""):
            self.assertLess(time.monotonic(), end)
        begin = time.monotonic()
        status, body = self.get()
        print(f"first request answered after {(time.monotonic() - begin) * 1000:.0f} ms, from zero replicas", flush=True)
        self.assertEqual(status, 200, body)
        self.assertIn("by echo-1", body)
        # More at once than one replica should have: a second one comes.
        with Clients(self.address, "/services/echo/slow?ms=50", count=4) as clients:
            self.routes_until(lambda table: len(endpoints(table)) == 2)
        self.assertEqual(clients.failures, [])

    def test_an_update_fails_no_request(self):
        self.apply(service(replicas="2", env={"VERSION": "one"}))
        self.routes_until(lambda table: len(endpoints(table)) == 2)
        self.gateway_until_known()
        with Clients(self.address, "/services/echo/hello") as clients:
            self.apply(service(replicas="2", env={"VERSION": "two"}))
            self.routes_until(lambda table: [one["revision"] for one in endpoints(table)] == [2, 2]
                              and len(table["services"][0]["endpoints"]) == 2)
            seen = len(clients.answers)
            while len(clients.answers) < seen + 20:
                self.assertEqual(clients.failures, [])
        self.assertEqual(clients.failures, [])
        self.assertTrue(clients.answers[0].endswith(" one\n"), clients.answers[0])
        self.assertTrue(clients.answers[-1].endswith(" two\n"), clients.answers[-1])

    def test_a_killed_replica_fails_no_idempotent_request(self):
        self.apply(service(replicas="2"))
        table = self.routes_until(lambda table: len(endpoints(table)) == 2)
        self.gateway_until_known()
        with Clients(self.address, "/services/echo/hello") as clients:
            while len(clients.answers) < 50:
                self.assertEqual(clients.failures, [])
            os.kill(pid_listening_on(endpoints(table)[0]["port"]), signal.SIGKILL)
            self.routes_until(lambda table: sorted(one["replica"] for one in endpoints(table)) == ["echo-2", "echo-3"])
        self.assertEqual(clients.failures, [])

    def test_two_gateways_know_of_each_others_load(self):
        self.apply(service(replicas="2", affinity={"by": "header", "name": "x-session", "bound": 100}))
        self.routes_until(lambda table: len(endpoints(table)) == 2)
        self.gateway_until_known()
        with tempfile.TemporaryDirectory(prefix="bb-second-") as folder:
            second = subprocess.Popen(
                [str(BINARY), "gateway", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                env={**self.server.cli_env(), "BUSBAR_STATE_DIR": folder, "BUSBAR_TOKEN": self.server.token})
            try:
                other = ("127.0.0.1", int(read_line(second, 60).split()[4].rsplit(":", 1)[1]))
                # A session keeps one replica busy through the first gateway.
                home = self.get(headers={"x-session": "1"})[1].split(" by ")[1].split()[0]
                with Clients(self.address, "/services/echo/slow?ms=20000", count=4, headers={"x-session": "1"}) as busy:
                    end = time.monotonic() + 60
                    while True:
                        answers = [self.ask(other) for _ in range(20)]
                        if all(status == 200 and f" by {home}" not in body for status, body in answers):
                            break
                        self.assertLess(time.monotonic(), end, answers)
                    self.assertEqual(self.server.api("GET", "/v1/routes")["gateways"], 2)
                    busy.cut()
                self.assertEqual(len(busy.answers), 0)
            finally:
                second.terminate()
                second.wait(60)
                second.stdout.close()

    def ask(self, address, path="/services/echo/hello"):
        connection = http.client.HTTPConnection(*address, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def test_a_killed_server_fails_no_request_and_its_gateway_is_taken_over(self):
        self.apply(service(replicas="2"))
        self.routes_until(lambda table: len(endpoints(table)) == 2)
        self.gateway_until_known()
        with Clients(self.address, "/services/echo/hello") as clients:
            while len(clients.answers) < 50:
                self.assertEqual(clients.failures, [])
            self.server.kill9()
            seen = len(clients.answers)
            while len(clients.answers) < seen + 200:
                self.assertEqual(clients.failures, [])
            self.server.start()
            # It hears of what the new server does: so it found it.
            self.server.api("POST", "/v1/services/echo/scale?replicas=1")
            self.routes_until(lambda table: len(table["services"][0]["endpoints"]) == 1)
        self.assertEqual(clients.failures, [])
        info = json.loads((self.server.state_dir / "gateway.json").read_text())
        self.assertEqual(info["pid"], self.gateway_pid)


if __name__ == "__main__":
    unittest.main()
