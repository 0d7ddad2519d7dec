"""gRPC end to end: its own client and server (Debian's python3-grpcio) with the gateway between them."""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request
from concurrent import futures

from harness import BINARY, read_line

try:
    import grpc
except ImportError:
    # Debian's package belongs to Debian's Python; another one of the same version may come first in PATH.
    sys.path.append("/usr/lib/python3/dist-packages")
    import grpc

KEY = "bb-key-of-a-test"


class Replica:
    """A server of one service without protocol buffers: messages are bytes."""

    def __init__(self, name):
        self.name = name
        self.hanging = threading.Event()  # A call hangs here.
        self.cancelled = threading.Event()
        self.calls = 0
        methods = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
        }
        self.server = grpc.server(futures.ThreadPoolExecutor(32))
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", methods),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def echo(self, request, context):
        self.calls += 1
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-replica", self.name), ("x-sent", sent.get("x-sent", ""))))
        context.set_trailing_metadata((("x-last-bin", b"\x00\xff" + request[:4]),))
        return request

    def count(self, request, _context):
        for number in range(int(request)):
            yield str(number).encode()

    def sum(self, requests, _context):
        return str(sum(int(each) for each in requests)).encode()

    def talk(self, requests, _context):
        for each in requests:
            yield each.upper()

    def fail(self, _request, context):
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "100 % wrong – here")

    def fail_late(self, _request, context):
        yield b"first"
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")

    def hang(self, _request, context):
        context.add_callback(self.cancelled.set)
        self.hanging.set()
        self.cancelled.wait(30)
        return b""


class GrpcTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix="bb-grpc-")
        self.addCleanup(self.dir.cleanup)
        self.folder = pathlib.Path(self.dir.name)
        self.replicas = [Replica("one"), Replica("two")]
        for replica in self.replicas:
            self.addCleanup(lambda replica=replica: replica.server.stop(None).wait(30))
        endpoints = [{"replica": f"s-{one.name}", "address": "127.0.0.1", "port": one.port, "protocol": "http2"}
                     for one in self.replicas]
        (self.folder / "routes.json").write_text(json.dumps({
            "version": 1,
            "services": [{"name": "peer", "hosts": ["peer.example"], "endpoints": endpoints},
                         {"name": "locked", "hosts": ["locked.example"], "auth": "key", "endpoints": endpoints},
                         {"name": "scarce", "hosts": ["scarce.example"], "requests": "1/d", "endpoints": endpoints},
                         {"name": "empty", "hosts": ["empty.example"]}],
            "keys": [{"id": "k1", "tenant": "t", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]}))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                        "-subj", "/CN=peer.example", "-addext", "subjectAltName=DNS:peer.example", "-keyout",
                        str(self.folder / "gw.key"), "-out", str(self.folder / "gw.pem")],
                       check=True, capture_output=True, timeout=60)
        self.process = subprocess.Popen(
            [str(BINARY), "gateway", "--listen", "127.0.0.1:0", "--routes", str(self.folder / "routes.json"), "--access-log",
             str(self.folder / "access.log"), "--tls-listen", "127.0.0.1:0", "--tls-cert", str(self.folder / "gw.pem"),
             "--tls-key", str(self.folder / "gw.key")], stdout=subprocess.PIPE)
        self.addCleanup(self.process.stdout.close)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        line = read_line(self.process, 60)
        self.port = int(line.split()[4].rsplit(":", 1)[1])
        self.admin = line.split()[7].split("/metrics")[0]
        self.tls_port = int(line.split("TLS at https://127.0.0.1:")[1].rstrip().rstrip(")"))

    def channel(self, host="peer.example"):
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[("grpc.default_authority", host)])
        self.addCleanup(channel.close)
        return channel

    def echo(self, channel, request=b"hello", **options):
        return channel.unary_unary("/test.Peer/Echo").with_call(request, timeout=30, **options)

    def failure(self, call, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, timeout=options.pop("timeout", 30), **options)
        return caught.exception

    def test_carries_calls_of_all_four_kinds(self):
        channel = self.channel()
        answer, call = self.echo(channel, metadata=(("x-sent", "by the client"),))
        self.assertEqual(answer, b"hello")
        self.assertEqual(dict(call.initial_metadata())["x-sent"], "by the client")
        self.assertEqual(dict(call.trailing_metadata())["x-last-bin"], b"\x00\xffhell")
        self.assertEqual(call.code(), grpc.StatusCode.OK)
        big = bytes(range(256)) * 12_000
        self.assertEqual(self.echo(channel, big)[0], big)
        numbers = channel.unary_stream("/test.Peer/Count")(b"3000", timeout=30)
        self.assertEqual([int(each) for each in numbers], list(range(3000)))
        total = channel.stream_unary("/test.Peer/Sum")((str(number).encode() for number in range(1000)), timeout=30)
        self.assertEqual(total, b"499500")

    def test_both_sides_of_a_call_talk_in_turns(self):
        may_ask = threading.Semaphore(1)

        def asks():
            for number in range(100):
                may_ask.acquire()
                yield f"message {number}".encode()

        count = 0
        for answer in self.channel().stream_stream("/test.Peer/Talk")(asks(), timeout=30):
            self.assertEqual(answer, f"MESSAGE {count}".encode())
            count += 1
            may_ask.release()
        self.assertEqual(count, 100)

    def test_tells_what_the_replica_says_of_an_error(self):
        channel = self.channel()
        error = self.failure(channel.unary_unary("/test.Peer/Fail"), b"")
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.INVALID_ARGUMENT, "100 % wrong – here"))
        self.assertEqual(dict(error.trailing_metadata())["x-why"], "because")
        answers = channel.unary_stream("/test.Peer/FailLate")(b"", timeout=30)
        self.assertEqual(next(answers), b"first")
        with self.assertRaises(grpc.RpcError) as caught:
            next(answers)
        self.assertEqual((caught.exception.code(), caught.exception.details()),
                         (grpc.StatusCode.RESOURCE_EXHAUSTED, "no more"))
        error = self.failure(channel.unary_unary("/test.Peer/Nothing"), b"")
        self.assertEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_deadline_and_a_cancel_reach_the_replica(self):
        channel = self.channel()
        call = channel.unary_unary("/test.Peer/Hang")
        error = self.failure(call, b"", timeout=0.5)
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        hanging = next(one for one in self.replicas if one.hanging.is_set())
        self.assertTrue(hanging.cancelled.wait(30))
        for one in self.replicas:
            one.hanging.clear()
            one.cancelled.clear()
        future = call.future(b"", timeout=30)
        while not any(one.hanging.wait(0.05) for one in self.replicas):
            self.assertFalse(future.done())
        future.cancel()
        hanging = next(one for one in self.replicas if one.hanging.is_set())
        self.assertTrue(hanging.cancelled.wait(30))
        self.assertEqual(self.echo(channel)[0], b"hello")

    def test_says_its_own_errors_as_grpc_does(self):
        code = grpc.StatusCode
        for host, expected in (("nobody.example", code.UNIMPLEMENTED), ("locked.example", code.UNAUTHENTICATED),
                               ("empty.example", code.UNAVAILABLE)):
            with self.subTest(host=host):
                error = self.failure(self.channel(host).unary_unary("/test.Peer/Echo"), b"")
                self.assertEqual(error.code(), expected, error.details())
        answer, _ = self.echo(self.channel("locked.example"), metadata=(("authorization", f"Bearer {KEY}"),))
        self.assertEqual(answer, b"hello")
        scarce = self.channel("scarce.example")
        self.assertEqual(self.echo(scarce)[0], b"hello")
        error = self.failure(scarce.unary_unary("/test.Peer/Echo"), b"")
        self.assertEqual((error.code(), error.details()),
                         (code.RESOURCE_EXHAUSTED, "this service's rate of requests is used up"))
        plain = self.channel("no.example").unary_unary("/services/peer/test.Peer/Echo")
        self.assertEqual(plain(b"by its name", timeout=30), b"by its name")

    def test_a_replica_that_says_goodbye_costs_no_call(self):
        channel = self.channel()
        names = set()
        for number in range(300):
            answer, call = self.echo(channel, str(number).encode())
            self.assertEqual(answer, str(number).encode())
            names.add(dict(call.initial_metadata())["x-replica"])
            if number == 100:
                self.assertEqual(names, {"one", "two"})
                self.replicas[0].server.stop(30)
        self.assertEqual(dict(self.echo(channel)[1].initial_metadata())["x-replica"], "two")
        self.replicas[1].server.stop(None).wait(30)
        error = self.failure(channel.unary_unary("/test.Peer/Echo"), b"")
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error.details())

    def test_many_calls_at_once_share_connections(self):
        call = self.channel().unary_unary("/test.Peer/Echo")
        calls = [call.future(str(number).encode(), timeout=30) for number in range(500)]
        self.assertEqual([each.result() for each in calls], [str(number).encode() for number in range(500)])
        metrics = urllib.request.urlopen(f"{self.admin}/metrics", timeout=30).read().decode()
        self.assertIn('busbar_gateway_requests_total{service="peer"} 500\n', metrics)

    def test_speaks_tls(self):
        credentials = grpc.ssl_channel_credentials((self.folder / "gw.pem").read_bytes())
        options = [("grpc.ssl_target_name_override", "peer.example")]
        with grpc.secure_channel(f"127.0.0.1:{self.tls_port}", credentials, options) as channel:
            self.assertEqual(self.echo(channel)[0], b"hello")
            numbers = channel.unary_stream("/test.Peer/Count")(b"100", timeout=30)
            self.assertEqual(len(list(numbers)), 100)
        self.process.terminate()
        self.assertEqual(self.process.wait(60), 0)
        lines = [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]
        self.assertEqual([(line["status"], line["grpc_status"]) for line in lines], [(200, 0)] * 2)


if __name__ == "__main__":
    unittest.main()
