"""Each example of examples/ runs as its file says, and says what it should."""

import shutil
import unittest

from harness import ROOT, Server, needs_containers


@needs_containers
class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--cpu-cards", "4").start()
        cls.folder = cls.server.state_dir.parent / (cls.server.state_dir.name + "-examples")
        shutil.copytree(ROOT / "examples", cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        shutil.rmtree(cls.folder)

    def apply(self, name):
        self.server.cli("apply", "-f", str(self.folder / name), "--wait", timeout=300, check=0)
        newest = max(job["id"] for job in self.server.jobs())
        return self.server.logs(newest)

    def test_mpi_ring_reduces_over_two_containers(self):
        output = self.apply("mpi_ring.yaml")
        self.assertRegex(output, r"(?i)sum|reduce", output)

    def test_direct_starts_one_process_per_card(self):
        output = self.apply("direct.yaml")
        self.assertRegex(output, r"(?i)rank 0", output)
        self.assertRegex(output, r"(?i)rank 1", output)

    def test_array_runs_every_member(self):
        self.server.cli("apply", "-f", str(self.folder / "array.yaml"), "--wait", timeout=300, check=0)
        members = [job for job in self.server.jobs() if job["name"].startswith("darts") or job.get("array")]
        self.assertGreater(len(members), 1)
        self.assertEqual({"succeeded"}, {job["state"] for job in members})

    def test_an_sbatch_script_runs_as_it_is(self):
        done = self.server.cli("run", str(self.folder / "hello.sh"), cwd=self.folder, timeout=120)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertTrue(done.stdout.strip(), done.stderr)

    def test_a_dev_job_is_a_shell_to_come_back_to(self):
        self.server.cli("apply", "-f", str(self.folder / "dev.yaml"), check=0)
        job = next(job for job in self.server.jobs() if job["type"] == "dev")
        self.server.wait_job(job["id"], until=lambda status: status["state"] == "running")
        done = self.server.cli("exec", "-i", str(job["id"]), "--", "sh", "-c", "echo from $BUSBAR_JOB_NAME", check=0)
        self.assertIn("from ", done.stdout)
        self.server.cli("stop", "--grace", "0s", str(job["id"]), check=0)
        self.assertEqual("cancelled", self.server.wait_job(job["id"])["state"])


if __name__ == "__main__":
    unittest.main()
