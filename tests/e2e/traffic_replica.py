"""A replica for tests of where requests go: it writes down what it is asked, and answers when and how it is told to.

Paths below /-/ are for the test, which asks the replica itself, beside the gateway; /healthz is for health checks. All other
requests are written down and get an answer with the replica's name: an event stream where the body says "stream": true.

  POST /-/behave?as=answer|hold|fail|break   hold: no answer before another behaviour is told, of a stream its first event
                                             only; fail: 500; break: half an answer, then a reset
  GET  /-/requests?arrived=N&aborted=M       waits until so many have come, and of so many the client has gone away, while
                                             they were held; gives all
"""

import http.server
import json
import os
import select
import socket
import struct
import sys
import threading
import urllib.parse

NAME = os.environ.get("BUSBAR_JOB_NAME", "replica")
BEHAVIOURS = ("answer", "hold", "fail", "break")
WAIT_S = 60


class State:
    def __init__(self):
        self.changed = threading.Condition()
        self.requests = []
        self.behaviour = "answer"
        self.told, self.tell = os.pipe()  # At its end when another behaviour was told.

    def behave(self, behaviour):
        with self.changed:
            self.behaviour = behaviour
            os.close(self.tell)
            self.told, self.tell = os.pipe()

    def note(self, request):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            return self.behaviour, self.told

    def abort(self, request):
        with self.changed:
            request["aborted"] = True
            self.changed.notify_all()

    def wait(self, arrived, aborted):
        def is_there():
            return len(self.requests) >= arrived and sum(each["aborted"] for each in self.requests) >= aborted
        with self.changed:
            self.changed.wait_for(is_there, WAIT_S)
            return list(self.requests)


STATE = State()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def give(self, status, body, content_type="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def control(self):
        path, _, query = self.path.partition("?")
        values = dict(urllib.parse.parse_qsl(query))
        if path == "/-/behave" and values.get("as") in BEHAVIOURS:
            STATE.behave(values["as"])
            self.give(200, b"{}")
        elif path == "/-/requests":
            requests = STATE.wait(int(values.get("arrived", 0)), int(values.get("aborted", 0)))
            self.give(200, json.dumps(requests).encode())
        else:
            self.give(404, b"{}")

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/healthz":
            return self.give(200, b"{}")
        if self.path.startswith("/-/"):
            return self.control()
        request = {"method": self.command, "path": self.path, "body": body.decode(errors="replace"), "aborted": False,
                   "headers": {name.lower(): value for name, value in self.headers.items()}}
        behaviour, told = STATE.note(request)
        if b'"stream": true' in body:
            return self.stream(request, behaviour, told)
        if behaviour == "hold" and not self.is_held_to_the_end(request, told):
            return None
        if behaviour == "break":
            return self.break_off()
        return self.give(500 if behaviour == "fail" else 200, json.dumps({"by": NAME}).encode())

    def stream(self, request, behaviour, told):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(b"data: " + json.dumps({"by": NAME}).encode() + b"\n\n")
        self.wfile.flush()
        if behaviour != "hold" or self.is_held_to_the_end(request, told):
            self.wfile.write(b"data: [DONE]\n\n")

    def is_held_to_the_end(self, request, told):
        """False: the client has gone away before it was told to answer."""
        ready, _, _ = select.select([self.connection, told], [], [])
        if self.connection in ready and self.connection.recv(1, socket.MSG_PEEK) == b"":
            self.close_connection = True
            STATE.abort(request)
            return False
        return True

    def break_off(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        # Closed with a reset: nothing is left to linger for.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = serve

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def shutdown_request(self, request):
        request.close()

    def handle_error(self, *_):
        """A client that has gone away is not worth a word here."""


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(os.environ.get("PORT", 0))), Handler)
    print(server.server_address[1], flush=True)
    sys.exit(server.serve_forever())
