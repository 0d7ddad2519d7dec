"""What a request costs the gateway, in numbers that do not depend on the machine's load: user instructions, system calls, and
memory of an idle connection. docs/results.md has the figures; the limits here have room for a machine that is slow."""

import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from harness import BINARY, read_line

REQUEST = (b"GET /v1/models/tiny HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
ANSWER = (b"HTTP/1.1 200 OK\r\nServer: test/1.0\r\nDate: Thu, 26 Nov 2026 11:00:00 GMT\r\nContent-Type: text/plain\r\n"
          b"Content-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n")
ANSWER_SIZE = len(ANSWER) - len(b"Connection: keep-alive\r\n")  # That field ends at the gateway.
CLIENTS = 16
FEW, MANY = 320, 1920
# On a slow machine no two requests share the gateway's rounds: then it is 6,400 instructions and two waits more.
MOST_INSTRUCTIONS = 6500
MOST_CALLS = 6.1
MOST_IDLE_BYTES = 150


def receive(connection, size):
    got = b""
    while len(got) < size:
        piece = connection.recv(65536)
        if not piece:
            raise EOFError(f"closed after {len(got)} of {size} bytes")
        got += piece
    return got


class Replica(threading.Thread):
    """Answers every request on every connection with the same bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection:
            while (head := connection.recv(65536)):
                if head.endswith(b"\r\n\r\n"):
                    connection.sendall(ANSWER)


class GatewayCostTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="bb-cost-")
        self.addCleanup(self.dir.cleanup)
        self.replica = Replica()
        self.replica.start()
        self.addCleanup(self.replica.listener.close)
        self.routes = pathlib.Path(self.dir.name) / "routes.json"
        self.routes.write_text(json.dumps({"version": 1, "services": [
            {"name": "s", "hosts": ["127.0.0.1"], "limits": {"concurrency": 100},
             "endpoints": [{"replica": "s-1", "address": "127.0.0.1", "port": self.replica.port}]}]}))

    def start(self, *tool):
        process = subprocess.Popen(
            [*tool, str(BINARY), "gateway", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--threads", "1",
             "--routes", str(self.routes)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = read_line(process, 120)
        return process, int(re.search(r"ready: http://127\.0\.0\.1:(\d+)", line).group(1))

    def serve(self, requests, *tool):
        """On some connections at a time, over and over; ends the gateway."""
        process, port = self.start(*tool)
        clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CLIENTS)]
        for _ in range(requests // CLIENTS):
            for client in clients:
                client.sendall(REQUEST)
            for client in clients:
                self.assertTrue(receive(client, ANSWER_SIZE).endswith(b"hello world\n"))
        for client in clients:
            client.close()
        # strace's child, or valgrind itself.
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]) if children else process.pid, signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)

    def each(self, count):
        """Of one request: the difference of two runs, so that starting and ending do not count."""
        return (count(MANY) - count(FEW)) / (MANY - FEW)

    def test_takes_few_instructions(self):
        def instructions(requests):
            out = pathlib.Path(self.dir.name) / f"instructions-{requests}"
            self.serve(requests, "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet")
            return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))

        each = self.each(instructions)
        print(f"instructions a request: {each:.0f}")
        self.assertLess(each, MOST_INSTRUCTIONS)

    def test_makes_few_system_calls(self):
        def calls(requests):
            out = pathlib.Path(self.dir.name) / f"calls-{requests}"
            self.serve(requests, "strace", "-f", "-c", "-o", str(out))
            return int(re.search(r"^100\.00 +\S+ +\S* +(\d+) .*total$", out.read_text(), re.M).group(1))

        each = self.each(calls)
        print(f"system calls a request: {each:.2f}")
        self.assertLess(each, MOST_CALLS)

    def test_holds_idle_connections_in_little_memory(self):
        count = min(4000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 200)
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        process, port = self.start()

        def private_bytes():
            text = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.M)) * 1024

        def served():
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            self.addCleanup(client.close)
            client.sendall(REQUEST)
            receive(client, ANSWER_SIZE)

        for _ in range(500):
            served()
        before = private_bytes()
        for _ in range(count - 500):
            served()
        each = (private_bytes() - before) / (count - 500)
        print(f"bytes an idle connection: {each:.0f}")
        self.assertLess(each, MOST_IDLE_BYTES)


if __name__ == "__main__":
    unittest.main()
