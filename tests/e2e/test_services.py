"""Services end to end, without a gateway: the test plays the gateway by watching the route table and telling demand."""

import contextlib
import json
import os
import pathlib
import signal
import tempfile
import time
import unittest
import urllib.request

from harness import BINARY, ROOT, ApiError, Server, needs_containers

# Containers do not see every place that a checkout may lie in: /tmp is their own.
VOLUME = f"{BINARY.parent}:/opt/busbar-test:ro"
ECHO = "/opt/busbar-test/busbar-echo-service"


def service(name="echo", replicas="1", env=None, run=None, **fields):
    return json.dumps({"name": name, "type": "service", "run": run or f"exec {ECHO}", "env": env or {},
                       "workdir": "/", "volumes": [VOLUME],
                       "service": {"replicas": replicas, "health": "/healthz", "drain": "5s", **fields}})


# gRPC's own server with its health service, without protocol buffers; serves as the file says.
GRPC_REPLICA = """
import os, pathlib, grpc
from concurrent import futures

def check(request, context):
    if request != b"\\x0a\\x09a.Service":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return b"\\x08" + bytes([int(pathlib.Path("/opt/shared/status").read_text())])

server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
    "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(check)}),))
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
server.wait_for_termination()
"""


class Gateway:
    """The route table as a gateway sees it, and its demand."""

    def __init__(self, server):
        self.server = server

    def wait(self, until, deadline_s=60):
        """The first table for which `until` holds; watches the stream."""
        end = time.monotonic() + deadline_s
        last = None
        with self.server.request("GET", "/v1/routes/watch", timeout=deadline_s) as stream:
            for raw in stream:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("data:"):
                    last = json.loads(line[5:])
                    if until(last):
                        return last
                if time.monotonic() > end:
                    break
        raise AssertionError(f"not in {deadline_s} s; last {json.dumps(last)}\n{self.server.log()[-3000:]}")

    def tell(self, name, table_version=0, **counts):
        with self.server.request("POST", "/v1/demand", {
                "gateway": "test", "table_version": table_version, "interval_ms": 250,
                "services": [{"name": name, **counts}]}) as answer:
            assert answer.status == 204, answer.status


def endpoints(table, name="echo"):
    """Of those that are given requests."""
    return [one for entry in table["services"] if entry["name"] == name
            for one in entry["endpoints"] if not one.get("draining")]


def get(endpoint, path="/hello", timeout=10):
    url = f"http://{endpoint['address']}:{endpoint['port']}{path}"
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def replicas_of(server, name="echo"):
    return {job["name"]: job for job in server.jobs("limit=10000") if job["name"].startswith(name + "-")}


def pid_listening_on(port):
    """The process whose socket listens there, by /proc."""
    wanted = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            for line in list(lines)[1:]:
                words = line.split()
                if int(words[1].split(":")[1], 16) == port and words[3] == "0A":
                    wanted.add(f"socket:[{words[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in wanted:
                    return int(pid)
    raise AssertionError(f"nobody listens on {port}")


@needs_containers
class Services(unittest.TestCase):
    def setUp(self):
        self.server = Server("--cpu-cards", "4")
        self.addCleanup(self.close)
        self.server.start()
        self.gateway = Gateway(self.server)

    def close(self):
        with contextlib.suppress(Exception):
            for one in self.server.api("GET", "/v1/services")["services"]:
                self.server.api("DELETE", f"/v1/services/{one['name']}")
        self.server.close()

    def apply(self, text):
        return self.server.api("POST", "/v1/services", {"file": text, "file_name": "echo.yaml"})["service"]

    def status(self, name="echo"):
        return self.server.api("GET", f"/v1/services/{name}")

    def test_serves_scales_and_leaves_nothing(self):
        text = service(replicas="2")
        self.assertEqual(self.apply(text)["revision"], 1)
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 2)
        for endpoint in endpoints(table):
            self.assertIn(f"by {endpoint['replica']}", get(endpoint))
        self.assertEqual(self.apply(text)["revision"], 1)  # the same again changes nothing
        self.assertEqual(self.server.api("GET", "/v1/routes")["version"], table["version"])
        self.assertEqual(sorted(replicas_of(self.server)), ["echo-1", "echo-2"])

        self.server.cli("services", "scale", "echo", "1", check=0)
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 1)
        self.assertEqual(endpoints(table)[0]["replica"], "echo-1")
        self.assertIn("echo-1", self.server.cli("services", "echo", check=0).stdout)
        self.assertIn('"spec"', self.server.cli("describe", "echo", "--json", check=0).stdout)
        self.server.cli("services", "delete", "echo", check=0)
        self.gateway.wait(lambda table: table["services"] == [])
        self.assertEqual(replicas_of(self.server), {})
        with self.assertRaises(ApiError):
            self.status()

    def test_starts_from_zero_at_the_first_waiting_request(self):
        self.apply(service(replicas="0..3", target=2))
        table = self.gateway.wait(lambda table: [one["name"] for one in table["services"]] == ["echo"])
        self.assertEqual(endpoints(table), [])
        self.assertTrue(table["services"][0]["can_start"])
        self.assertEqual(self.status()["state"], "idle")
        begin = time.monotonic()
        self.gateway.tell("echo", waiting=1, arrivals=1)
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 1)
        took_ms = (time.monotonic() - begin) * 1000
        self.assertIn("by echo-1", get(endpoints(table)[0]))
        table = self.server.api("GET", "/v1/routes")
        self.assertGreater(table["services"][0]["start_ms"], 0)
        print(f"0 -> 1 in {took_ms:.0f} ms, {table['services'][0]['start_ms']} ms of them its start", flush=True)
        self.gateway.tell("echo", waiting=5, running=1, arrivals=5)
        self.gateway.wait(lambda table: len(endpoints(table)) == 3)

    def test_a_warm_replica_is_paused_and_serves_at_once(self):
        self.apply(service(replicas="0..2", warm=1))
        address, port = self.wait_state("echo-1", "paused")["address"].split(":")
        replica = {"address": address, "port": port}
        self.assertEqual(endpoints(self.server.api("GET", "/v1/routes")), [])
        with self.assertRaises(TimeoutError):
            get(replica, timeout=0.5)  # the kernel takes the connection, nobody answers
        self.server.kill9()
        self.server.start()
        self.wait_state("echo-1", "paused")
        version = self.server.api("GET", "/v1/routes")["version"]
        begin = time.monotonic()
        self.gateway.tell("echo", version, waiting=1, arrivals=1)
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 1)
        self.assertIn("by echo-1", get(endpoints(table)[0]))
        print(f"0 -> 1, warm, in {(time.monotonic() - begin) * 1000:.0f} ms", flush=True)
        self.wait_state("echo-2", "paused")

    def wait_state(self, name, state):
        """The replica's status; follows the events."""
        def found():
            return [one for one in self.status()["replicas"] if one["name"] == name and one["state"] == state]
        with self.server.request("GET", "/v1/events?follow=true", timeout=60) as stream:
            while not found():
                stream.readline()
        return found()[0]

    def test_a_killed_replica_is_replaced(self):
        self.apply(service())
        first = endpoints(self.gateway.wait(lambda table: len(endpoints(table)) == 1))[0]
        os.kill(pid_listening_on(first["port"]), signal.SIGKILL)
        second = endpoints(self.gateway.wait(
            lambda table: [one["replica"] for one in endpoints(table)] == ["echo-2"]))[0]
        self.assertIn("by echo-2", get(second))
        self.assertIn("echo-1", self.status()["last_error"])

    def test_a_killed_server_finds_its_replicas_again(self):
        self.apply(service(replicas="2"))
        before = self.gateway.wait(lambda table: len(endpoints(table)) == 2)
        pids = [pid_listening_on(one["port"]) for one in endpoints(before)]
        self.server.kill9()
        for endpoint in endpoints(before):  # while it is away
            self.assertIn("by echo-", get(endpoint))
        self.server.start()
        after = self.gateway.wait(lambda table: True)
        self.assertEqual(endpoints(after), endpoints(before))
        self.assertGreater(after["version"], before["version"])
        self.assertEqual([pid_listening_on(one["port"]) for one in endpoints(after)], pids)
        self.assertEqual(sorted(replicas_of(self.server)), ["echo-1", "echo-2"])

    def test_a_server_that_dies_while_replicas_start_neither_loses_nor_doubles_them(self):
        self.apply(service(replicas="3"))
        for _ in range(3):
            self.server.kill9()
            self.server.start()
        self.gateway.wait(lambda table: len(endpoints(table)) == 3)
        self.assertEqual(len(replicas_of(self.server)), 3)

    def test_an_update_rolls_and_a_bad_one_leaves_the_old_serving(self):
        self.apply(service(replicas="2", env={"VERSION": "one"}))
        self.gateway.wait(lambda table: len(endpoints(table)) == 2)
        self.assertEqual(self.apply(service(replicas="2", env={"VERSION": "two"}))["revision"], 2)

        def is_updated(table):
            serving = endpoints(table)
            self.assertGreaterEqual(len(serving), 2)  # at every moment
            return [one["revision"] for one in serving] == [2, 2]

        table = self.gateway.wait(is_updated)
        for endpoint in endpoints(table):
            self.assertIn(" two\n", get(endpoint))

        self.apply(service(replicas="2", env={"VERSION": "three"}, run="exit 7"))
        done = self.server.cli("serve", "-", input=service(replicas="2", env={"VERSION": "three"}, run="exit 7"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("exit code 7", done.stderr)
        status = self.status()
        self.assertEqual((status["revision"], status["updating_from"], status["state"]), (3, 2, "failing"))
        self.assertEqual([one["revision"] for one in endpoints(self.server.api("GET", "/v1/routes"))], [2, 2])
        self.server.cli("services", "rollback", "echo", check=0)
        self.gateway.wait(lambda table: [one["revision"] for one in endpoints(table)] == [2, 2])
        self.assertEqual(self.status()["revision"], 2)

    def test_a_draining_replica_is_stopped_when_gateways_have_nothing_on_it(self):
        self.apply(service(replicas="2", drain="10m"))
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 2)
        busy = [{"replica": "echo-1", "running": 1}, {"replica": "echo-2", "running": 1}]
        self.gateway.tell("echo", table["version"], running=2, replicas=busy)
        self.server.api("POST", "/v1/services/echo/scale?replicas=1")
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 1)
        draining = [one["replica"] for one in table["services"][0]["endpoints"] if one.get("draining")]
        self.assertEqual(draining, ["echo-2"])
        self.gateway.tell("echo", table["version"], running=1, replicas=busy[:1])
        self.gateway.wait(lambda table: len(table["services"][0]["endpoints"]) == 1)

    def test_a_canary_that_fails_is_taken_back(self):
        canary = {"weight": 20, "abort_above_error_rate": 0.1, "hold": "10m"}
        self.apply(service(replicas="1", env={"VERSION": "one"}))
        self.gateway.wait(lambda table: len(endpoints(table)) == 1)
        self.apply(service(replicas="1", env={"VERSION": "two"}, canary=canary))
        table = self.gateway.wait(lambda table: len(endpoints(table)) == 2)
        self.assertEqual({one["revision"]: one["weight"] for one in endpoints(table)}, {1: 8000, 2: 2000})
        self.gateway.tell("echo", table["version"], finished=40, failed=10,
                          revisions=[{"revision": 2, "finished": 40, "failed": 10}])
        self.gateway.wait(lambda table: [one["revision"] for one in endpoints(table)] == [1])
        status = self.status()
        self.assertEqual(status["revision"], 1)
        self.assertIn("10 of 40", status["last_error"])

    def test_replicas_of_grpc_are_asked_by_its_own_health_service(self):
        shared = tempfile.TemporaryDirectory()
        self.addCleanup(shared.cleanup)

        def become(status):
            fresh = pathlib.Path(shared.name, "fresh")
            fresh.write_text(str(status))
            fresh.rename(fresh.with_name("status"))

        become(1)
        pathlib.Path(shared.name, "replica.py").write_text(GRPC_REPLICA)
        text = service(name="calls", protocol="http2", run="exec /usr/bin/python3 /opt/shared/replica.py",
                       health={"grpc": "a.Service", "every": "50ms"})
        text = json.dumps({**json.loads(text), "volumes": [f"{shared.name}:/opt/shared:ro"]})
        self.apply(text)
        self.gateway.wait(lambda table: len(endpoints(table, "calls")) == 1)
        become(2)  # NOT_SERVING
        self.gateway.wait(lambda table: endpoints(table, "calls") == [])
        detail = [one["detail"] for one in self.status("calls")["replicas"]]
        self.assertIn("is NOT_SERVING", detail[0])
        become(1)
        self.gateway.wait(lambda table: len(endpoints(table, "calls")) == 1)

    def test_the_command_line_waits_and_says_where(self):
        done = self.server.cli("serve", str(ROOT / "examples" / "services" / "echo.yaml"), check=0)
        self.assertIn("/services/echo/", done.stdout)
        self.assertIn("echo", self.server.cli("services", check=0).stdout)
        self.assertIn("GET /hello by echo-1", get(endpoints(self.server.api("GET", "/v1/routes"))[0]))
        done = self.server.cli("apply", "-f", str(ROOT / "examples" / "services" / "echo.yaml"), check=0)
        self.assertIn("is ready", done.stdout)


if __name__ == "__main__":
    unittest.main()
