"""Faults from outside: a task, a container's init and conmon are killed, the disk is full, the database is damaged."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import ApiError, Server, job, needs_containers


def processes(pattern):
    """Pids of processes whose command line matches."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(pattern, command):
            found.append(int(entry.name))
    return found


@needs_containers
class Faults(unittest.TestCase):
    def setUp(self):
        self.server = Server("--cpu-cards", "2").start()
        self.addCleanup(self.server.close)

    def start_job(self, text, **fields):
        submitted = self.server.submit(job(text, **fields))[0]
        return self.server.wait_job(submitted["id"], until=lambda status: status["state"] == "running")

    def test_a_killed_task_ends_its_gang(self):
        mark = f"31{os.getpid()}"
        meet = pathlib.Path(tempfile.mkdtemp(prefix="bb-meet-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, meet)
        os.mkfifo(meet / "here")
        os.mkfifo(meet / "never")
        # The program itself says that it is there: "running" comes before its exec.
        program = f"exec sh -c 'echo > {meet}/here; read word < {meet}/never' {mark}"
        status = self.start_job(f"[ $NODE_RANK = 0 ] && {program}; exec sleep 1000", nodes=2, volumes=[f"{meet}:{meet}"])
        with open(meet / "here") as fifo:
            fifo.read()
        [pid] = processes(rf"^sh -c echo .*{mark}")
        os.kill(pid, signal.SIGKILL)
        ended = self.server.wait_job(status["id"])
        self.assertEqual(("failed", 137), (ended["state"], ended["exit_code"]))
        self.assertEqual([], processes(rf"^sh -c echo .*{mark}"))

    def test_conmon_killed_is_the_platforms_fault_and_the_job_runs_again(self):
        mark = f"32{os.getpid()}"
        status = self.start_job(f"[ $BUSBAR_ATTEMPT = 2 ] || exec sleep {mark}")
        conmons = processes(rf"conmon.*{re.escape(str(self.server.state_dir))}")
        self.assertEqual(1, len(conmons))
        os.kill(conmons[0], signal.SIGKILL)
        ended = self.server.wait_job(status["id"])
        self.assertEqual(("succeeded", 2), (ended["state"], ended["attempt"]))
        self.assertEqual("infrastructure", ended["attempts"][0]["exit_class"])
        self.assertEqual([], processes(rf"^sleep {mark}"))

    def test_jobs_go_on_while_the_server_is_down_and_their_exit_codes_are_known_after(self):
        release = self.server.state_dir.parent / f"bb-release-{os.getpid()}"
        release.mkdir()
        self.addCleanup(shutil.rmtree, release)
        os.mkfifo(release / "go")
        status = self.start_job(f"read word < {release}/go; exit 9", volumes=[f"{release}:{release}"])
        self.server.kill9()
        with open(release / "go", "w") as fifo:
            fifo.write("go\n")
        self.server.start()
        ended = self.server.wait_job(status["id"])
        self.assertEqual(("failed", 9, 1), (ended["state"], ended["exit_code"], ended["attempt"]))

    def test_a_graceful_stop_leaves_the_jobs_running(self):
        status = self.start_job("sleep 1000")
        self.assertEqual(0, self.server.stop())
        self.server.start()
        self.assertEqual("running", self.server.job(status["id"])["state"])

    def test_a_second_server_on_the_same_state_is_refused(self):
        second = Server(state_dir=self.server.state_dir)
        second.log_path = self.server.state_dir / "second.log"
        second.spawn()
        self.assertNotEqual(0, second.process.wait(30))
        second.process.stdout.close()
        self.assertIn(str(self.server.process.pid), second.log())


@needs_containers
class FullDisk(unittest.TestCase):
    def test_a_full_disk_refuses_new_work_and_recovers(self):
        mount = tempfile.mkdtemp(prefix="bb-full-", dir="/var/tmp")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], check=True)
        try:
            with Server("--cpu-cards", "2", state_dir=mount) as server:
                first = server.submit(job("true"))[0]
                server.wait_job(first["id"])
                filler = pathlib.Path(mount, "filler")
                with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
                    while True:
                        out.write(b"x" * 4096)
                with self.assertRaises(ApiError) as caught:
                    for _ in range(50):
                        server.api("POST", "/v1/jobs", {"file": job("true"), "file_name": "t"}, timeout=5)
                self.assertGreaterEqual(caught.exception.status, 429)
                filler.unlink()
                server.wait_job(first["id"])
                last = None
                while last is None:
                    try:
                        last = server.submit(job("echo again"))[0]
                    except ApiError as error:
                        self.assertGreaterEqual(error.status, 429)
                self.assertEqual("succeeded", server.wait_job(last["id"])["state"])
        finally:
            subprocess.run(["umount", "-l", mount], check=False)
            os.rmdir(mount)


class Database(unittest.TestCase):
    def test_a_corrupt_database_is_refused_and_a_backup_restores(self):
        server = Server().start()
        try:
            first = server.submit(job("echo kept"))[0]
            server.wait_job(first["id"])
            backup = server.state_dir / "backup.db"
            server.cli("backup", str(backup), check=0)
            server.stop()
            database = server.state_dir / "busbar.db"
            with open(database, "r+b") as out:
                out.seek(0)
                out.write(os.urandom(8192))
            server.spawn()
            self.assertNotEqual(0, server.process.wait(30))
            server.process.stdout.close()
            self.assertIn("restore", server.log())
            done = server.cli("restore", str(backup), "--state-dir", str(server.state_dir))
            self.assertEqual(0, done.returncode, done.stderr)
            server.start()
            self.assertEqual("succeeded", server.job(first["id"])["state"])
        finally:
            server.close()


if __name__ == "__main__":
    unittest.main()
