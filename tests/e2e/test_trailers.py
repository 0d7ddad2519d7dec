"""Trailers between clients and replicas of either HTTP, by programs that are not ours: Node and curl."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from harness import BINARY, read_line

PEER = pathlib.Path(__file__).parent / "trailers_peer.mjs"
PROTOCOLS = ("http1", "http2")


class TrailersTest(unittest.TestCase):
    def start(self, *arguments):
        process = subprocess.Popen([str(each) for each in arguments], stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return read_line(process, 60)

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="bb-trailers-")
        self.addCleanup(folder.cleanup)
        routes = pathlib.Path(folder.name) / "routes.json"
        routes.write_text(json.dumps({"version": 1, "services": [
            {"name": protocol, "endpoints": [
                {"replica": f"{protocol}-1", "address": "127.0.0.1", "protocol": protocol,
                 "port": int(self.start("node", PEER, "serve", protocol))}]} for protocol in PROTOCOLS]}))
        self.url = self.start(BINARY, "gateway", "--listen", "127.0.0.1:0", "--routes", routes).split()[4]

    def run_peer(self, *arguments):
        done = subprocess.run([str(each) for each in arguments], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_go_both_ways_whatever_either_speaks(self):
        for client in PROTOCOLS:
            for replica in PROTOCOLS:
                with self.subTest(client=client, replica=replica):
                    got = json.loads(self.run_peer("node", PEER, "ask", client, f"{self.url}/services/{replica}/"))
                    self.assertEqual(got, {"status": 200, "trailers": {"x-sum": "7"},
                                           "answer": {"body": "body", "te": "trailers", "trailers": {"x-sum": "7"}}})

    def test_are_shown_by_curl_where_it_takes_them(self):
        for version in ("--http1.1", "--http2-prior-knowledge"):
            for replica in PROTOCOLS:
                for field in ([], ["-H", "TE: trailers"]):
                    with self.subTest(version=version, replica=replica, field=field):
                        shown = self.run_peer("curl", "-sS", "-D", "-", version, *field, f"{self.url}/services/{replica}/")
                        answer = '{"body":"","te":"' + ("trailers" if field else "") + '","trailers":{}}'
                        self.assertIn(answer, shown)
                        # Frames of HTTP/2 have a place for them, asked for or not.
                        is_taken = bool(field) or version == "--http2-prior-knowledge"
                        self.assertEqual("x-sum: 7" in shown, is_taken, shown)
                        self.assertNotIn("x-busbar", shown)
                        self.assertNotIn("x-forwarded", shown)


if __name__ == "__main__":
    unittest.main()
