"""What tests of services through the gateway of `busbar up` have in common: the server with its gateway, and clients."""

import contextlib
import http.client
import json
import pathlib
import socket
import threading
import time
import unittest
import urllib.parse
import urllib.request

from harness import Server


class Clients:
    """Threads that ask without a pause until told to stop, each on a kept connection; every answer is checked."""

    def __init__(self, address, path, count=4, headers=None):
        self.address = address
        self.headers = headers or {}
        self.open = []
        self.path = path
        self.stopping = threading.Event()
        self.answers = []
        self.failures = []
        self.threads = [threading.Thread(target=self.ask) for _ in range(count)]

    def ask(self):
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        self.open.append(connection)
        while not self.stopping.is_set():
            try:
                connection.request("GET", self.path, headers=self.headers)
                answer = connection.getresponse()
                body = answer.read().decode()
                (self.answers if answer.status == 200 else self.failures).append(body)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def cut(self):
        """Gives up what is under way."""
        self.stopping.set()
        for connection in self.open:
            if connection.sock:
                connection.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def is_running(pid):
    """An ended process that nobody has reaped yet does not run."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def metric_in(admin_url, name, service=None):
    """A number of a gateway's metrics; 0 while it is not there."""
    label = f'{{service="{service}"}}' if service else ""
    text = urllib.request.urlopen(f"{admin_url}/metrics", timeout=30).read().decode()
    found = [line for line in text.splitlines() if line.startswith(f"busbar_gateway_{name}{label} ")]
    return float(found[0].split()[-1]) if found else 0


def metric_until(admin_url, name, service, is_there, deadline_s=60):
    end = time.monotonic() + deadline_s
    while not is_there(metric_in(admin_url, name, service)):
        assert time.monotonic() < end, f"{name} is still {metric_in(admin_url, name, service)}"


class ServingTest(unittest.TestCase):
    """A server with four cards and its gateway; needs containers."""

    def setUp(self):
        self.server = Server("--cpu-cards", "4", "--set", "gateway=127.0.0.1:0")
        self.addCleanup(self.close)
        self.server.start()
        info = json.loads((self.server.state_dir / "gateway.json").read_text())
        url = urllib.parse.urlsplit(info["url"])
        self.address = (url.hostname, url.port)
        self.admin_url = info["admin_url"]
        self.gateway_pid = info["pid"]

    def close(self):
        with contextlib.suppress(Exception):
            for one in self.server.api("GET", "/v1/services")["services"]:
                self.server.api("DELETE", f"/v1/services/{one['name']}")
        self.server.close()
        self.assertFalse(is_running(self.gateway_pid), "the gateway outlived its server's stop")

    def apply(self, text):
        return self.server.api("POST", "/v1/services", {"file": text, "file_name": "echo.yaml"})["service"]

    def get(self, path="/services/echo/hello", **options):
        with contextlib.closing(http.client.HTTPConnection(*self.address, timeout=60)) as connection:
            connection.request(options.pop("method", "GET"), path, **options)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def routes_until(self, until, deadline_s=60):
        end = time.monotonic() + deadline_s
        while True:
            table = self.server.api("GET", "/v1/routes")
            if until(table):
                return table
            self.assertLess(time.monotonic(), end, f"still {table}\n{self.server.log()[-3000:]}")

    def metric(self, name, service):
        return metric_in(self.admin_url, name, service)

    def metric_until(self, name, service, least):
        metric_until(self.admin_url, name, service, lambda value: value >= least)

    def gateway_is_idle(self, service):
        """Until its replicas' loads hold nothing of the requests before: a client has its answer a moment earlier."""
        metric_until(self.admin_url, "running", service, lambda value: value == 0)

    def gateway_follows(self, table):
        """Until the gateway routes by that table, or a later one."""
        self.metric_until("table_version", None, table["version"])

    def gateway_until_known(self):
        """Until the gateway has the service: before that it has nothing to hold a request for."""
        end = time.monotonic() + 60
        while self.get("/services/echo/healthz")[0] == 404:
            self.assertLess(time.monotonic(), end)
