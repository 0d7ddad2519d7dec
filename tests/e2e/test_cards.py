"""Cards of a machine made of files: found, granted, shown to a container, watched. The device nodes are real ones (made
by mknod with the numbers of /dev/null and its neighbours), so what a container opens is what it was given."""

import json
import os
import pathlib
import shutil
import stat
import tempfile
import time
import unittest

from harness import Server, job, needs_containers

CARDS = {"0000:1b:00.0": 0, "0000:1c:00.0": 1}
# Minor numbers of the kernel's memory devices: reading zero (5) gives zeros, reading null (3) nothing.
NUMBERS = {"nvidia0": 3, "nvidia1": 5, "nvidiactl": 7, "nvidia-uvm": 7}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_card(root, address, minor):
    device = root / "sys/devices/pci0000:1a/0000:1a:01.0" / address
    for name, text in {"vendor": "0x10de", "device": "0x26b9", "class": "0x030200", "numa_node": "0",
                       "subsystem_vendor": "0x10de", "subsystem_device": "0x1851",
                       "aer_dev_fatal": "TOTAL_ERR_FATAL 0"}.items():
        write(device / name, text + "\n")
    (root / "sys/bus/pci/drivers/nvidia").mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to("../../../../bus/pci/drivers/nvidia")
    links = root / "sys/bus/pci/devices"
    links.mkdir(parents=True, exist_ok=True)
    (links / address).symlink_to(f"../../../devices/pci0000:1a/0000:1a:01.0/{address}")
    write(root / f"proc/driver/nvidia/gpus/{address}/information",
          f"Model: NVIDIA L40S\nGPU UUID: GPU-{minor}\nDevice Minor: {minor}\n")


def can_make_nodes(folder):
    try:
        os.mknod(folder / "probe", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        with open(folder / "probe", "rb") as node:
            return node.read() == b""
    except OSError:
        return False


@needs_containers
class Cards(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="bb-host-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)
        if not can_make_nodes(self.root):
            self.skipTest("device nodes cannot be made or opened here (mknod, or a file system mounted nodev)")
        for address, minor in CARDS.items():
            add_card(self.root, address, minor)
        (self.root / "dev").mkdir()
        for name, minor in NUMBERS.items():
            os.mknod(self.root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            os.chmod(self.root / "dev" / name, 0o666)
        write(self.root / "proc/cpuinfo", "processor : 0\nprocessor : 1\nflags : fma avx2\n")
        self.server = Server("--set", f"device_root={self.root}", "--set", "probe_period=50ms").start()
        self.addCleanup(self.server.close)

    def cards(self):
        return self.server.api("GET", "/v1/cards")["cards"]

    def wait_health(self, index, health):
        """Follows the events until the card's health has been told."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.cards()[index]["health"] == health:
                return self.cards()[index]
        raise AssertionError(f"card {index} did not become {health}: {self.cards()}")

    def test_a_container_sees_exactly_the_cards_that_it_was_granted(self):
        self.assertEqual(["nvidia-l40s", "nvidia-l40s", "cpu", "cpu"], [card["chip"] for card in self.cards()])
        script = ("ls /dev | grep nvidia | sort | tr '\\n' ' '; echo; echo \"$CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES\";"
                  " for n in /dev/nvidia?; do echo $n $(head -c 3 $n | od -An -tx1); done")
        first = self.server.submit(job(script + "; sleep 1000", resources={"accelerators": "nvidia-l40s:1"}))[0]
        self.server.wait_job(first["id"], until=lambda status: status["state"] == "running")
        second = self.server.submit(job(script, resources={"accelerators": "L40S:1"}))[0]
        ended = self.server.wait_job(second["id"])
        self.assertEqual("succeeded", ended["state"], ended.get("reason"))
        text = self.server.logs(second["id"])
        used = {card["index"]: card["jobs"] for card in self.cards()}
        self.assertEqual([first["id"]], used[0])
        self.assertIn("nvidia-uvm nvidia1 nvidiactl", text)
        self.assertNotIn("nvidia0", text)
        self.assertIn("GPU-1 void", text)
        self.assertIn("/dev/nvidia1 00 00 00", text)
        both = self.server.cli("run", "--dry-run", "--json", "--accelerators", "nvidia-l40s:2", "--", "true", check=0)
        answer = json.loads(both.stdout)
        paths = {node["path"] for node in answer["tasks"][0]["edits"]["deviceNodes"]}
        self.assertEqual({"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "/dev/nvidia-uvm"}, paths)

    def test_a_card_that_fails_or_vanishes_gets_no_more_work(self):
        write(self.root / "sys/bus/pci/devices/0000:1b:00.0/aer_dev_fatal", "TOTAL_ERR_FATAL 2\n")
        card = self.wait_health(0, "unhealthy")
        self.assertEqual("2 uncorrectable PCIe errors since busbar started (AER)", card["health_detail"])
        os.unlink(self.root / "dev/nvidia1")
        self.assertEqual("/dev/nvidia1 is missing", self.wait_health(1, "unhealthy")["health_detail"])
        waiting = self.server.submit(job("true", resources={"accelerators": "nvidia-l40s:1"}),
                                     may_wait_infeasible=True)[0]
        os.mknod(self.root / "dev/nvidia1", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        ended = self.server.wait_job(waiting["id"])
        self.assertEqual("succeeded", ended["state"])
        events = self.server.api("GET", "/v1/events")["events"]
        self.assertTrue(any("nvidia1 is missing" in event["text"] for event in events), events)

    def test_a_card_that_appears_is_offered(self):
        add_card(self.root, "0000:1d:00.0", 2)
        os.mknod(self.root / "dev/nvidia2", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        end = time.monotonic() + 60
        while len(self.cards()) < 5:
            self.assertLess(time.monotonic(), end, self.cards())
        self.assertEqual("pci:0000:1d:00.0", self.cards()[4]["device"])
        self.assertIn("pci:0000:1d:00.0", self.server.cli("cards", check=0).stdout)


class Discovery(unittest.TestCase):
    def test_a_copied_tree_is_read_without_a_server(self):
        with tempfile.TemporaryDirectory(prefix="bb-host-", dir="/var/tmp") as folder:
            root = pathlib.Path(folder)
            add_card(root, "0000:1b:00.0", 0)
            write(root / "dev/nvidia0", "c 195:0\n")
            write(root / "etc/cdi/broken.json", "{")
            server = Server()
            self.addCleanup(shutil.rmtree, server.state_dir, ignore_errors=True)
            server.url = "http://127.0.0.1:1"
            done = server.cli("chips", "discover", "--root", folder, "--json", check=0)
            answer = json.loads(done.stdout)
            self.assertEqual(["nvidia-l40s"], [card["chip"] for card in answer["cards"]])
            self.assertEqual("GPU-0", answer["cards"][0]["uuid"])
            self.assertEqual(["/etc/cdi/broken.json"], [problem["path"] for problem in answer["problems"]])
            done = server.cli("chips", "discover", "--root", folder, check=0)
            self.assertIn("nvidia-l40s", done.stdout)
            self.assertIn("/etc/cdi/broken.json", done.stderr)


if __name__ == "__main__":
    unittest.main()
