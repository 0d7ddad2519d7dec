"""Starts the real `busbar up` on loopback with a state directory of its own, and drives it as a user would.

BUSBAR_BIN names the binary (default: build/release/bin/busbar). Nothing here sleeps: every wait reads from something
that the server or a job writes, with a deadline."""

import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("BUSBAR_BIN", ROOT / "build" / "release" / "bin" / "busbar"))
TERMINAL_STATES = ("succeeded", "failed", "cancelled")


class ApiError(Exception):
    def __init__(self, status, body):
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body


def read_line(process, deadline_s):
    """One line of the process's standard output, or AssertionError after the deadline or at its end."""
    stream = process.stdout
    end = time.monotonic() + deadline_s
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise AssertionError(f"no line within {deadline_s} s; so far {line!r}")
        byte = os.read(stream.fileno(), 1)
        if not byte:
            raise AssertionError(f"the process ended with {process.wait()} before it said more than {line!r}")
        line += byte
    return line.decode()


class Server:
    def __init__(self, *flags, state_dir=None, env=None):
        self.is_own_dir = state_dir is None
        self.state_dir = pathlib.Path(state_dir or tempfile.mkdtemp(prefix="bb-", dir="/var/tmp"))
        self.run_dir = self.state_dir / "run"
        self.flags = list(flags)
        self.extra_env = env or {}
        self.process = None
        self.url = None
        self.log_path = self.state_dir / "server.log"

    # The server itself.
    def spawn(self):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [str(BINARY), "up", "--listen", "127.0.0.1:0", "--state-dir", str(self.state_dir),
             "--set", f"run_dir={self.run_dir}", "--set", "gateway=off", *self.flags],
            stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.extra_env})
        log.close()
        return self

    def wait_ready(self, deadline_s=60):
        try:
            line = read_line(self.process, deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; the end of its log:\n{self.log()[-2000:]}") from None
        assert line.startswith("busbar is ready: "), line
        self.url = line.split()[3]
        return self

    def start(self):
        return self.spawn().wait_ready()

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, deadline_s=30):
        if self.process is None or self.process.poll() is not None:
            return None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(deadline_s)
        self.process.stdout.close()
        return code

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def close(self):
        """Stops every job, then the server, then removes what it left."""
        with contextlib.suppress(Exception):
            if self.process is None or self.process.poll() is not None:
                self.start()
            for job in self.jobs():
                with contextlib.suppress(ApiError):
                    self.api("POST", f"/v1/jobs/{job['id']}/stop?grace_ms=0")
            for job in self.jobs():
                self.wait_job(job["id"], 60)
        self.stop()
        if self.is_own_dir:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # Its API.
    @property
    def token(self):
        return (self.state_dir / "token").read_text().strip()

    def request(self, method, path, body=None, token=None, timeout=60, content_type="application/json"):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {self.token if token is None else token}")
        if data is not None:
            request.add_header("Content-Type", content_type)
        return urllib.request.urlopen(request, timeout=timeout)

    def api(self, method, path, body=None, **options):
        try:
            with self.request(method, path, body, **options) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise ApiError(error.code, text) from None

    def api_text(self, method, path):
        with self.request(method, path) as answer:
            return answer.read().decode()

    def submit(self, text, **options):
        answer = self.api("POST", "/v1/jobs", {"file": text, "file_name": "test.yaml", **options})
        return answer["jobs"]

    def job(self, job):
        return self.api("GET", f"/v1/jobs/{job}")

    def jobs(self, query="all=true&limit=10000"):
        return self.api("GET", f"/v1/jobs?{query}")["jobs"]

    def wait_job(self, job, deadline_s=120, until=lambda status: status["state"] in TERMINAL_STATES):
        """Follows the job's watch stream until `until` holds; gives that status."""
        end = time.monotonic() + deadline_s
        last = None
        with self.request("GET", f"/v1/jobs/{job}/watch", timeout=deadline_s) as stream:
            for raw in stream:
                if time.monotonic() > end:
                    break
                line = raw.decode().rstrip("\r\n")
                if line.startswith("data:"):
                    last = json.loads(line[5:])
                    if until(last):
                        return last
        raise AssertionError(f"job {job} did not get there in {deadline_s} s; last {last and last['state']}: "
                             f"{last and last.get('reason')}\n{self.log()[-3000:]}")

    def logs(self, job):
        """Both streams: the command line keeps them apart."""
        done = self.cli("logs", str(job), check=0)
        return done.stdout + done.stderr

    # Its command line.
    def wait_line(self, job, text):
        """Until the job has printed it, in whatever attempt."""
        with self.request("GET", f"/v1/jobs/{job}/logs?follow=true") as stream:
            for raw in stream:
                if raw.startswith(b"data:") and text in json.loads(raw[5:]).get("text", ""):
                    return
        raise AssertionError(f"job {job} never printed {text!r}")

    def cli_env(self):
        return {**os.environ, "BUSBAR_STATE_DIR": str(self.state_dir), "BUSBAR_SERVER": self.url, "NO_COLOR": "1"}

    def cli(self, *args, input=None, timeout=120, check=None, cwd=None, env=None):
        done = subprocess.run([str(BINARY), *args], input=input, capture_output=True, text=True, timeout=timeout,
                              env={**self.cli_env(), **(env or {})}, cwd=cwd,
                              stdin=subprocess.DEVNULL if input is None else None)
        if check is not None and done.returncode != check:
            raise AssertionError(f"busbar {' '.join(args)} gave {done.returncode}, not {check}\n"
                                 f"stdout: {done.stdout}\nstderr: {done.stderr}")
        return done


def needs_containers(test):
    return unittest.skipUnless(os.geteuid() == 0, "containers with cgroup limits need root here")(test)


def job(run, **fields):
    """A job file as JSON, which is YAML too."""
    return json.dumps({"name": "t", "run": run, "launcher": "none", **fields})
