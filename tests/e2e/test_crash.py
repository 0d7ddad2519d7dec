"""Kills the server with SIGKILL at random moments under a load of submissions and checks that nothing is lost, that
nothing ran twice, and that exits which happened in between are known. BUSBAR_CRASHES sets how often (default 20; 200
before a release: BUSBAR_CRASHES=200)."""

import json
import os
import pathlib
import random
import tempfile
import threading
import time
import unittest
import urllib.error

from harness import ApiError, Server, job, needs_containers

CRASHES = int(os.environ.get("BUSBAR_CRASHES", "20"))
SEED = int(os.environ.get("BUSBAR_SEED", random.randrange(1 << 30)))


class Submitter(threading.Thread):
    """Submits jobs with client keys until told to stop; repeats what was not answered, as a client would."""

    def __init__(self, server, witness, rng):
        super().__init__(daemon=True)
        self.server, self.witness, self.rng = server, witness, rng
        self.accepted = {}  # key -> job id
        self.stop_asked = threading.Event()
        self.is_up = threading.Event()
        self.failure = None

    def run(self):
        number = 0
        try:
            while not self.stop_asked.is_set():
                number += 1
                self.submit_until_answered(f"key-{number}", self.rng.choice([0, 0, 0, 3]))
                self.stop_asked.wait(0.05)  # a steady load, not a backlog that takes minutes to work off
        except BaseException as failure:  # shown by the test, which this thread cannot fail by itself
            self.failure = failure

    def submit_until_answered(self, key, code):
        # Each attempt leaves one line, so a task that was started twice is seen.
        text = job(f"echo $BUSBAR_JOB_ID.$BUSBAR_ATTEMPT {key} >> {self.witness}/starts; exit {code}",
                   volumes=[f"{self.witness}:{self.witness}"])
        while True:
            self.is_up.wait()
            try:
                answer = self.server.api("POST", "/v1/jobs", {"file": text, "client_key": key}, timeout=20)
                self.accepted[key] = (answer["jobs"][0]["id"], code)
                return
            except (OSError, ApiError, urllib.error.URLError, json.JSONDecodeError) as error:
                if isinstance(error, ApiError) and error.status < 500:
                    raise
                if self.stop_asked.is_set():
                    return


@needs_containers
class Crash(unittest.TestCase):
    def test_kill_9_at_random_moments_loses_nothing_and_starts_nothing_twice(self):
        rng = random.Random(SEED)
        print(f"seed {SEED}, {CRASHES} crashes", flush=True)
        with tempfile.TemporaryDirectory(prefix="bb-witness-", dir="/var/tmp") as witness:
            pathlib.Path(witness, "starts").touch()
            server = Server("--cpu-cards", "4")
            submitter = Submitter(server, witness, random.Random(SEED + 1))
            try:
                begin = time.monotonic()
                server.start()
                start_s = time.monotonic() - begin
                submitter.is_up.set()
                submitter.start()
                for _ in range(CRASHES):
                    # The moment of the crash is what varies: an event to wait for would fix it. A server that is slow to
                    # start, under a sanitizer, is slow to take jobs too.
                    submitter.stop_asked.wait(rng.uniform(0.02, max(0.6, start_s)))
                    submitter.is_up.clear()
                    server.kill9()
                    server.spawn()
                    if rng.random() < 0.2:  # also in the middle of recovery
                        submitter.stop_asked.wait(rng.uniform(0.0, 0.1))
                        server.kill9()
                        server.spawn()
                    server.wait_ready()
                    submitter.is_up.set()
                submitter.stop_asked.set()
                submitter.join(60)
                self.assertIsNone(submitter.failure)
                self.check(server, submitter, witness)
            finally:
                submitter.stop_asked.set()
                submitter.is_up.set()
                server.close()

    def check(self, server, submitter, witness):
        self.assertGreater(len(submitter.accepted), CRASHES // 2)
        for key, (job_id, code) in submitter.accepted.items():
            status = server.wait_job(job_id, 180)
            expected = "succeeded" if code == 0 else "failed"
            self.assertEqual((expected, code), (status["state"], status["exit_code"]), f"{key}: {status}")
        starts = pathlib.Path(witness, "starts").read_text().split("\n")[:-1]
        self.assertEqual(len(starts), len(set(starts)), "an attempt ran twice")
        ids = [job_id for job_id, _ in submitter.accepted.values()]
        self.assertEqual(len(ids), len(set(ids)), "two keys gave one job")
        started_jobs = {line.split()[0].split(".")[0] for line in starts}
        self.assertLessEqual({str(job_id) for job_id in ids}, started_jobs)
        # The record proves itself: every decision again, every hash.
        journal = server.state_dir / "journal.bin"
        server.cli("journal", "export", str(journal), check=0)
        server.cli("replay", str(journal), check=0)


if __name__ == "__main__":
    unittest.main()
