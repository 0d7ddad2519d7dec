"""What the gateway is measured beside: nginx and haproxy (Debian's) as proxies of the same backend."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUSBAR = pathlib.Path(os.environ.get("BUSBAR_BIN", ROOT / "build" / "release" / "bin" / "busbar"))
ANSWER = "hello, this is a small answer\\n"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise


def make_certificate(directory):
    """A certificate and its key, P-256, in one file."""
    whole = directory / "proxy.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(whole), "-out",
                    str(directory / "only.pem")], check=True, capture_output=True)
    whole.write_text((directory / "only.pem").read_text() + whole.read_text())
    return whole


class Proxy:
    def __init__(self, name, argv, port, cwd, tls_port=None):
        self.name = name
        self.port = port
        self.tls_port = tls_port  # HTTP/1.1 and HTTP/2, by ALPN; None: no TLS.
        self.process = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.DEVNULL)
        wait_for(port)

    def pids(self):
        found = [self.process.pid]
        for pid in found:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += [int(child) for child in children]
        return found

    def cpu_s(self):
        total = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def private_bytes(self):
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_"):
                    total += int(line.split()[1]) * 1024
        return total

    def stop(self):
        self.process.terminate()
        self.process.wait()


def start_nginx_backend(directory):
    """An nginx that answers everything at once, without a proxy."""
    backend = free_port()
    (directory / "backend.conf").write_text(f"""
worker_processes 1; pid {directory}/backend.pid; error_log {directory}/backend.err; daemon off;
events {{ worker_connections 65536; }}
http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{backend} backlog=4096;
  location / {{ return 200 "{ANSWER}"; }} }} }}""")
    return Proxy("backend", ["nginx", "-c", str(directory / "backend.conf")], backend, directory)


def start_proxies(directory, backend, concurrency, certificate=None):
    """nginx, haproxy where it is installed, and busbar in front of the port `backend`, a thread each. Event streams (below
    /v1/) are passed on as they come, and bodies too. With a certificate they speak TLS 1.2 and 1.3 on another port."""
    started = []
    port, tls_port = free_port(), free_port() if certificate else None
    tls = f"""listen 127.0.0.1:{tls_port} ssl http2 backlog=4096; ssl_certificate {certificate};
    ssl_certificate_key {certificate}; ssl_protocols TLSv1.2 TLSv1.3;""" if certificate else ""
    (directory / "nginx.conf").write_text(f"""
worker_processes 1; worker_rlimit_nofile 200000; pid {directory}/nginx.pid; error_log {directory}/nginx.err; daemon off;
events {{ worker_connections 100000; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 600; client_max_body_size 64m;
  client_body_temp_path {directory}/nginx-body; proxy_temp_path {directory}/nginx-proxy;
  upstream replicas {{ server 127.0.0.1:{backend}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; {tls} proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto http; proxy_read_timeout 600;
    location / {{ proxy_pass http://replicas; }}
    location /v1/ {{ proxy_pass http://replicas; proxy_buffering off; proxy_request_buffering off; }} }} }}""")
    started.append(Proxy("nginx", ["nginx", "-c", str(directory / "nginx.conf")], port, directory, tls_port))
    if shutil.which("haproxy"):
        port, tls_port = free_port(), free_port() if certificate else None
        tls = f"bind 127.0.0.1:{tls_port} backlog 4096 ssl crt {certificate} alpn h2,http/1.1" if certificate else ""
        (directory / "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 9900
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096
  {tls}
  default_backend replicas
backend replicas
  server one 127.0.0.1:{backend}
""")
        started.append(Proxy("haproxy", ["haproxy", "-f", str(directory / "haproxy.cfg")], port, directory, tls_port))
    port, tls_port = free_port(), free_port() if certificate else None
    tls = ["--tls-listen", f"127.0.0.1:{tls_port}", "--tls-cert", str(certificate)] if certificate else []
    (directory / "routes.json").write_text(json.dumps({"version": 1, "services": [
        {"name": "s", "hosts": ["127.0.0.1"], "models": ["m"], "limits": {"concurrency": concurrency, "waiting": 0},
         "endpoints": [{"replica": "s-1", "address": "127.0.0.1", "port": backend}]}]}))
    started.append(Proxy("busbar", [str(BUSBAR), "gateway", "--listen", f"127.0.0.1:{port}", "--threads", "1", "--routes",
                                    str(directory / "routes.json"), "--admin", "127.0.0.1:0", *tls], port, directory,
                         tls_port))
    return started
