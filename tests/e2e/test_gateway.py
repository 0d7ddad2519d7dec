"""The gateway as its own process: routes from a file, real clients and replicas, reload and drain."""

import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.request

from harness import BINARY, read_line


class Replica:
    """Answers with its name; POSTs are echoed; /slow waits until it may go on."""

    def __init__(self, name):
        replica = self
        self.slow_arrived = threading.Event()
        self.slow_may_answer = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path == "/slow":
                    replica.slow_arrived.set()
                    replica.slow_may_answer.wait(30)
                self.answer(name.encode())

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.port = self.server.server_address[1]

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class GatewayTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="bb-gateway-")
        self.routes = pathlib.Path(self.dir.name) / "routes.json"
        self.access_log = pathlib.Path(self.dir.name) / "access.log"
        self.replica = Replica("one")
        self.addCleanup(self.replica.stop)
        self.write_routes(1, self.replica.port)
        self.process = subprocess.Popen(
            [str(BINARY), "gateway", "--listen", "127.0.0.1:0", "--routes", str(self.routes), "--access-log",
             str(self.access_log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.end)
        line = read_line(self.process, 60)
        self.assertTrue(line.startswith("busbar gateway is ready: http://127.0.0.1:"), line)
        self.port = int(line.split()[4].rsplit(":", 1)[1])
        self.admin = line.split()[7].removesuffix("/metrics)")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.dir.cleanup()

    def write_routes(self, version, port):
        self.routes.write_text(json.dumps({"version": version, "services": [
            {"name": "s", "models": ["tiny"], "endpoints": [{"replica": f"s-{port}", "address": "127.0.0.1", "port": port}]}]}))

    def get(self, path, **options):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(options.pop("method", "GET"), path, **options)
        answer = connection.getresponse()
        return answer.status, answer.read(), connection

    def metrics(self):
        return urllib.request.urlopen(f"{self.admin}/metrics", timeout=30).read().decode()

    def test_serves_reloads_counts_and_drains(self):
        self.assertEqual(self.get("/services/s/")[:2], (200, b"one"))
        body = json.dumps({"model": "tiny", "messages": []}).encode()
        status, answer, _ = self.get("/v1/chat/completions", method="POST", body=body)
        self.assertEqual((status, answer), (200, body))
        self.assertEqual(self.get("/services/other/")[0], 404)

        other = Replica("two")
        self.addCleanup(other.stop)
        self.write_routes(2, other.port)
        self.process.send_signal(signal.SIGHUP)
        while 'busbar_gateway_table_version 2' not in self.metrics():
            pass
        self.assertEqual(self.get("/services/s/")[1], b"two")
        self.assertIn('busbar_gateway_requests_total{service="s"} 3', self.metrics())
        self.assertEqual(urllib.request.urlopen(f"{self.admin}/readyz", timeout=30).status, 200)

        idle = socket.create_connection(("127.0.0.1", self.port))
        results = []
        waiting = threading.Thread(target=lambda: results.append(self.get("/services/s/slow")[:2]))
        waiting.start()
        self.assertTrue(other.slow_arrived.wait(30))
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(idle.recv(1), b"")
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", self.port), 30)
        other.slow_may_answer.set()
        waiting.join(30)
        self.assertEqual(results, [(200, b"two")])
        self.assertEqual(self.process.wait(30), 0)
        lines = [json.loads(line) for line in self.access_log.read_text().splitlines()]
        self.assertEqual([line["status"] for line in lines], [200, 200, 404, 200, 200])
        self.assertEqual(lines[1]["request"], "POST /v1/chat/completions")
        self.assertEqual(lines[1]["request_bytes"], len(body))

    def test_keeps_its_routes_when_the_new_file_is_wrong(self):
        self.routes.write_text('{"services":[{"name":"s","endpoints":[{"replica":"r"}]}]}')
        self.process.send_signal(signal.SIGHUP)
        line = self.process.stderr.readline().decode()
        self.assertIn("needs address and port", line)
        self.assertEqual(self.get("/services/s/")[:2], (200, b"one"))

    def test_speaks_tls_and_shows_renewed_certificates(self):
        folder = pathlib.Path(self.dir.name)

        def make_certificate(name):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "1", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-keyout", str(folder / "new.key"), "-out", str(folder / "new.pem")],
                           check=True, capture_output=True, timeout=60)
            (folder / "new.key").rename(folder / "gw.key")
            (folder / "new.pem").rename(folder / "gw.pem")

        make_certificate("one")
        process = subprocess.Popen(
            [str(BINARY), "gateway", "--listen", "127.0.0.1:0", "--routes", str(self.routes), "--tls-listen", "127.0.0.1:0",
             "--tls-cert", str(folder / "gw.pem"), "--tls-key", str(folder / "gw.key")], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = read_line(process, 60)
        port = int(line.split("TLS at https://127.0.0.1:")[1].rstrip().rstrip(")"))

        def ask():
            trusting = ssl.create_default_context(cafile=str(folder / "gw.pem"))
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trusting)
            connection.request("GET", "/services/s/")
            return connection, connection.getresponse().read()

        kept, answer = ask()
        self.assertEqual(answer, b"one")
        make_certificate("two")
        process.send_signal(signal.SIGHUP)
        while True:
            try:
                self.assertEqual(ask()[1], b"one")
                break
            except ssl.SSLCertVerificationError:
                pass
        kept.request("GET", "/services/s/")
        self.assertEqual(kept.getresponse().read(), b"one")

    def test_says_what_is_wrong_with_its_flags(self):
        for flags, code, text in ((["--listen", "here"], 2, "is not HOST:PORT"), (["--threads", "0"], 2, "--threads"),
                                  (["--listen", f"127.0.0.1:{self.port}", "--routes", str(self.routes)], None, "is taken"),
                                  (["--listen", "127.0.0.1:0", "--routes", "/nowhere.json"], None, "/nowhere.json"),
                                  (["--tls-listen", "127.0.0.1:0"], 2, "--tls-cert"),
                                  (["--tls-cert", "a", "--tls-cert", "b", "--tls-key", "c"], 2, "one key for each"),
                                  (["--listen", "127.0.0.1:0", "--tls-cert", "/nowhere.pem"], None, "/nowhere.pem")):
            with self.subTest(flags=flags):
                done = subprocess.run([str(BINARY), "gateway", *flags], capture_output=True, text=True, timeout=60,
                                      check=False)
                self.assertNotEqual(done.returncode, 0)
                if code is not None:
                    self.assertEqual(done.returncode, code)
                self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
