"""Where requests go besides to the next free replica: copies, second replicas, sessions and prompts that stay, new revisions
that are tried. The real server, gateway and containers; replicas that say what they got (traffic_replica.py)."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

from harness import BINARY, needs_containers, read_line
from serving import Clients, ServingTest, metric_in, metric_until
from test_services import endpoints, pid_listening_on, service

HERE = pathlib.Path(__file__).parent
PYTHON = "/usr/bin/python3"


def ask(address, path, body=None, **headers):
    """Status and body; POST where there is a body."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


class Told:
    """A replica as the test itself reaches it, beside the gateway."""

    def __init__(self, address, port):
        self.address = (address, port)

    def behave(self, how):
        status, _ = ask(self.address, f"/-/behave?as={how}", b"")
        assert status == 200, status

    def requests(self, arrived=0, aborted=0):
        """All, once so many have come and so many were given up by their client."""
        requests = json.loads(ask(self.address, f"/-/requests?arrived={arrived}&aborted={aborted}")[1])
        gone = sum(each["aborted"] for each in requests)
        assert len(requests) >= arrived and gone >= aborted, (arrived, aborted, requests)
        return requests


class Open:
    """An event stream that is under way: its first event has come, which names its replica."""

    def __init__(self, address, body, **headers):
        self.connection = http.client.HTTPConnection(*address, timeout=60)
        self.connection.request("POST", "/v1/chat/completions", body, headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, (self.answer.status, self.answer.read())
        self.by = json.loads(self.answer.readline().removeprefix(b"data: "))["by"]

    def finish(self):
        rest = self.answer.read()
        self.connection.close()
        assert rest.endswith(b"data: [DONE]\n\n"), rest


def chat(text, max_tokens=5, stream=False):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens,
                       **({"stream": True} if stream else {})})


def told(name, replicas="1", **fields):
    """A service whose replicas are traffic_replica.py."""
    text = json.loads(service(name, replicas, run=f"exec {PYTHON} /opt/busbar-test/traffic_replica.py", **fields))
    return json.dumps({**text, "volumes": [f"{HERE}:/opt/busbar-test:ro"]})


@needs_containers
class Traffic(ServingTest):
    def serve(self, name, count, **fields):
        """Its replicas by name, once the gateway has them."""
        self.apply(told(name, str(count), **fields))
        table = self.routes_until(lambda table: len(endpoints(table, name)) == count)
        self.gateway_follows(table)
        return {one["replica"]: Told(one["address"], one["port"]) for one in endpoints(table, name)}

    def by(self, path, body=None, **headers):
        status, answer = ask(self.address, path, body, **headers)
        self.assertEqual(status, 200, answer)
        return json.loads(answer)["by"]

    def test_a_mirror_gets_copies_and_what_becomes_of_them_reaches_nobody(self):
        shadow = self.serve("shadow", 1)["shadow-1"]
        self.serve("front", 1, models="m", mirror={"to": "shadow", "percent": 100})

        def ask_five(kind):
            for number in range(5):
                self.assertEqual(self.by(f"/services/front/{kind}/{number}", f"{kind} {number}"), "front-1")

        shadow.behave("fail")
        ask_five("failing")
        self.assertEqual(self.by("/v1/chat/completions", chat("hello")), "front-1")
        copies = shadow.requests(arrived=6)
        self.assertEqual(sorted((each["method"], each["path"], each["body"]) for each in copies),
                         sorted([("POST", f"/failing/{number}", f"failing {number}") for number in range(5)] +
                                [("POST", "/v1/chat/completions", chat("hello"))]))
        self.assertEqual({each["headers"]["x-busbar-mirror"] for each in copies}, {"front"})
        shadow.behave("break")
        ask_five("breaking")
        shadow.requests(arrived=11)
        shadow.behave("hold")
        ask_five("held")
        shadow.requests(arrived=16)
        # Killed with copies under way, then gone from the table: then none is made.
        self.server.api("DELETE", "/v1/services/shadow")
        self.gateway_follows(self.routes_until(
            lambda table: [one["name"] for one in table["services"]] == ["front"]))
        ask_five("without")
        self.assertEqual(self.metric("mirrors_total", "front"), 16)
        self.metric_until("mirrors_dropped_total", "front", 5)
        self.assertEqual(self.metric("failures_total", "front"), 0)
        self.assertEqual(self.metric("requests_total", "front"), 21)

    def test_a_request_whose_replica_is_slow_is_answered_by_the_other(self):
        replicas = self.serve("front", 2, hedge={"after": "20ms", "percent": 100})
        slow = replicas["front-1"]
        slow.behave("hold")
        count = 0
        while not any(each["aborted"] for each in slow.requests()):
            self.assertEqual(self.by("/services/front/"), "front-2")
            count += 1
            if slow.requests():
                # Its client, the gateway, does not wait for what it has no use for.
                slow.requests(aborted=1)
        self.assertEqual(self.metric("hedges_won_total", "front"), len(slow.requests()))
        self.assertEqual(self.metric("failures_total", "front"), 0)
        self.assertEqual(self.metric("requests_total", "front"), count)

    def test_a_session_keeps_its_replica_until_that_has_too_much(self):
        replicas = self.serve("front", 3, models="m", affinity={"by": "header", "name": "x-session"})

        def home_of(session):
            return self.by("/v1/chat/completions", chat("hello"), **{"x-session": session})

        homes = {str(session): home_of(str(session)) for session in range(24)}
        self.assertEqual(set(homes.values()), set(replicas))
        for session, home in homes.items():
            self.assertEqual([home_of(session) for _ in range(3)], [home] * 3)

        # With 1.25 times the mean, and two calls' worth more, a sixth stream is too much for one of three.
        home = homes["0"]
        for replica in replicas.values():
            replica.behave("hold")
        streams = [Open(self.address, chat("hello", stream=True), **{"x-session": "0"}) for _ in range(6)]
        self.assertEqual([stream.by for stream in streams[:5]], [home] * 5)
        self.assertNotEqual(streams[5].by, home)
        for replica in replicas.values():
            replica.behave("answer")
        for stream in streams:
            stream.finish()
        self.assertEqual(home_of("0"), home)

        # Without its replica it moves; the sessions of others stay, or go to the one that takes its place.
        os.kill(pid_listening_on(replicas[home].address[1]), signal.SIGKILL)
        self.assertNotEqual(home_of("0"), home)
        table = self.routes_until(lambda table: {one["replica"] for one in endpoints(table, "front")} ==
                                  (set(replicas) - {home}) | {"front-4"})
        self.gateway_follows(table)
        for session, old in homes.items():
            self.assertIn(home_of(session), {"front-4"} | ({old} if old != home else set(replicas) - {home}))

    def test_a_talk_goes_where_its_beginning_is_known_unless_that_has_too_much(self):
        replicas = self.serve("front", 2, models="m", affinity={"by": "prefix"})
        homes, texts = {}, {}
        for talk in range(20):
            text = f"{talk:04} " * 120
            homes[talk] = self.by("/v1/chat/completions", chat(text))
            for _ in range(3):
                text += "and on " * 40
                self.gateway_is_idle("front")
                self.assertEqual(self.by("/v1/chat/completions", chat(text)), homes[talk])
            texts[talk] = text  # of 1,440 bytes: five blocks, 320 tokens
        self.assertEqual(set(homes.values()), set(replicas))

        home = homes[0]
        other = (set(replicas) - {home}).pop()
        replicas[home].behave("hold")
        self.gateway_is_idle("front")
        streams = [Open(self.address, chat(texts[0][:300], max_tokens=8, stream=True))]
        # About a hundred tokens that its replica has to do before are less than what it has in memory; 4,000 are not.
        streams.append(Open(self.address, chat(texts[0], max_tokens=4000, stream=True)))
        streams.append(Open(self.address, chat(texts[0], max_tokens=4000, stream=True)))
        self.assertEqual([stream.by for stream in streams], [home, home, other])
        replicas[home].behave("answer")
        for stream in streams:
            stream.finish()

    def test_a_canary_that_is_slow_is_taken_back(self):
        def revision(**env):
            return service(replicas="1", env=env, canary={"weight": 30, "abort_above_latency": 1.5, "hold": "10m"})

        self.apply(revision(VERSION="one"))
        self.routes_until(lambda table: len(endpoints(table)) == 1)
        self.gateway_until_known()
        with Clients(self.address, "/services/echo/hello", count=8) as clients, \
                self.server.request("GET", "/v1/events?follow=true", timeout=300) as events:
            self.apply(revision(VERSION="two", SLOW_MS="200"))
            while b"canary_aborted" not in events.readline():
                self.assertEqual(clients.failures, [])
            table = self.routes_until(lambda table: [one["revision"] for one in endpoints(table)] == [1])
            self.gateway_follows(table)
        # What was under way to it then has been answered too, by it.
        self.assertEqual(clients.failures, [])
        self.assertGreaterEqual(sum(answer.endswith(" two\n") for answer in clients.answers), 200)
        for _ in range(50):
            status, body = self.get()
            self.assertEqual((status, body.split()[-1]), (200, "one"))
        self.assertEqual(self.server.api("GET", "/v1/services/echo")["revision"], 1)
        self.assertIn("revision 2 was taken back: 99 % of its answers took up to",
                      self.server.cli("services", "echo", check=0).stdout)

    def test_the_new_revision_answers_those_who_ask_for_it(self):
        def revision(version):
            return service(replicas="2", env={"VERSION": version},
                           canary={"weight": 0, "header": "x-try: new", "hold": "10m"})

        self.apply(revision("one"))
        self.routes_until(lambda table: len(endpoints(table)) == 2)
        self.apply(revision("two"))
        self.gateway_follows(self.routes_until(lambda table: len(endpoints(table)) == 3))
        for _ in range(30):
            for headers, version in (({"X-Try": "new"}, "two"), ({"X-Try": "old"}, "one"), ({}, "one")):
                status, body = self.get(headers=headers)
                self.assertEqual((status, body.split()[-1]), (200, version), headers)


class Budget(unittest.TestCase):
    """One thread of the gateway, whose budget can be counted to the request."""

    def start(self, *arguments, **options):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return read_line(process, 60)

    def test_second_replicas_are_asked_as_often_as_the_budget_says(self):
        folder = tempfile.TemporaryDirectory(prefix="bb-traffic-")
        self.addCleanup(folder.cleanup)
        replicas = []
        for number in (1, 2):
            port = self.start(sys.executable, str(HERE / "traffic_replica.py"),
                              env={**os.environ, "BUSBAR_JOB_NAME": f"s-{number}"})
            replicas.append(Told("127.0.0.1", int(port)))
        routes = pathlib.Path(folder.name) / "routes.json"
        routes.write_text(json.dumps({"version": 1, "services": [
            {"name": "s", "traffic": {"hedge": {"after": "300ms", "percent": 25}},
             "endpoints": [{"replica": f"s-{number}", "address": "127.0.0.1", "port": replica.address[1]}
                           for number, replica in enumerate(replicas, 1)]}]}))
        words = self.start(str(BINARY), "gateway", "--listen", "127.0.0.1:0", "--threads", "1", "--routes",
                           str(routes)).split()
        address = ("127.0.0.1", int(words[4].rsplit(":", 1)[1]))
        admin = words[7].removesuffix("/metrics)")

        for _ in range(16):
            self.assertEqual(ask(address, "/services/s/")[0], 200)
        for replica in replicas:
            replica.behave("hold")
        # Twenty-four requests have earned six; a quarter of each four that follow one more.
        waiting = []
        with contextlib.ExitStack() as connections:
            for more, hedges in ((8, 6), (4, 7), (4, 8)):
                for _ in range(more):
                    connection = http.client.HTTPConnection(*address, timeout=60)
                    connections.callback(connection.close)
                    connection.request("GET", "/services/s/")
                    waiting.append(connection)
                metric_until(admin, "hedges_total", "s", lambda value: value >= hedges)
                self.assertEqual(metric_in(admin, "hedges_total", "s"), hedges)
            for replica in replicas:
                replica.behave("answer")
            self.assertEqual([connection.getresponse().status for connection in waiting], [200] * 16)
        self.assertEqual(metric_in(admin, "hedges_total", "s"), 8)
        self.assertEqual(metric_in(admin, "retries_total", "s"), 0)
        self.assertEqual(sum(len(replica.requests()) for replica in replicas), 32 + 8)


if __name__ == "__main__":
    unittest.main()
