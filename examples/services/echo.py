"""Answers every request with what it was, on $PORT; /healthz with 204."""

import http.server
import os


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/healthz":
            self.send_response(204)
            self.end_headers()
            return
        text = f"{self.command} {self.path} by {os.environ.get('BUSBAR_JOB_NAME', 'echo')}\n".encode() + body
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", int(os.environ["PORT"])), Echo).serve_forever()
