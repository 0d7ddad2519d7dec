"""Reports a job's progress to busbar: steps, loss, throughput, checkpoints, metrics (docs/sdk.md).

One file, standard library only, Python 3.8 or later. Outside busbar every call does nothing. No call ever raises or
waits: a lost report must not cost a training run.

    import busbar

    busbar.init(total_steps=1000)
    for batch in loader:
        ...
        busbar.step(loss=loss, samples=len(batch) * world_size)
        if time_to_save:
            with busbar.checkpoint("/ckpt/step-500"):
                torch.save(...)

Reports go to the file named by BUSBAR_REPORT_FILE, one JSON object a line, each by one write() to a descriptor opened
with O_APPEND. Only the process of rank 0 reports, and at most every half second: calling step() in every iteration is
cheap, and a tensor given as loss is read only when a line is written.
"""

import atexit
import contextlib
import functools
import json
import math
import os
import threading
import time

__all__ = ["checkpoint", "checkpoint_dir", "flush", "init", "is_enabled", "members", "message", "metric", "step"]

_INTERVAL_S = 0.5
_LONGEST_LINE = 60000
_LONGEST_TEXT = 4000
_MOST_METRICS = 60
_RANK_VARIABLES = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "BUSBAR_TASK_RANK")


def _never_raises(function):
    @functools.wraps(function)
    def guarded(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception:  # Whatever it is, training goes on.
            return None

    return guarded


def _number(value):
    """A finite float of a number, a tensor or an array of one element; None for anything else."""
    try:
        number = float(value)
    except Exception:
        return None
    return number if math.isfinite(number) else None


def _count(value):
    try:
        return max(0, int(value))
    except Exception:
        return 0


class _Reporter:
    """The state of one process. Forked children do not report."""

    def __init__(self):
        self.lock = threading.RLock()
        self.pid = os.getpid()
        self.path = os.environ.get("BUSBAR_REPORT_FILE", "")
        self.every_rank = False
        self.descriptor = -1
        self.total_steps = 0
        self.last_step = 0
        self.samples = 0
        self.tokens = 0
        self.pending = None  # The last step that was not written: (loss, metrics).
        self.last_write = -math.inf
        self.has_told_of_loss = False

    def is_enabled(self):
        if not self.path or os.getpid() != self.pid:
            return False
        if self.every_rank:
            return True
        for name in _RANK_VARIABLES:
            if name in os.environ:
                return os.environ[name] == "0"
        return True

    def write(self, kind, **fields):
        line = {"kind": kind, "time_ms": int(time.time() * 1000)}
        line.update((name, value) for name, value in fields.items() if value not in (None, "", {}))
        data = (json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n").encode()
        if len(data) > _LONGEST_LINE:
            return
        if self.descriptor < 0:
            self.descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.write(self.descriptor, data)

    def write_pending(self):
        if self.pending is None:
            return
        loss, metrics = self.pending
        self.pending = None
        self.last_write = time.monotonic()
        number = None if loss is None else _number(loss)
        self.write(
            "step",
            step=self.last_step,
            total_steps=self.total_steps or None,
            samples=self.samples or None,
            tokens=self.tokens or None,
            loss=number,
            metrics=_metrics(metrics),
        )
        if loss is not None and number is None and not self.has_told_of_loss:
            self.has_told_of_loss = True
            self.write("message", text="loss is not a finite number at step %d" % self.last_step)


def _metrics(metrics):
    numbers = {}
    for name, value in list(metrics.items())[:_MOST_METRICS]:
        number = _number(value)
        if number is not None:
            numbers[str(name)[:100]] = number
    return numbers


_reporter = _Reporter()


@_never_raises
def init(total_steps=None, first_step=0, samples=0, tokens=0, every_rank=False):
    """Says that the job reports steps. `total_steps` gives the end in view; the others say where a resumed job stands.

    `every_rank`: all processes report, not only that of rank 0.
    """
    global _reporter
    with _reporter.lock:
        _close()
        _reporter = _Reporter()
        _reporter.every_rank = bool(every_rank)
        _reporter.total_steps = _count(total_steps or 0)
        _reporter.last_step = _count(first_step)
        _reporter.samples = _count(samples)
        _reporter.tokens = _count(tokens)
        if _reporter.is_enabled():
            _reporter.write("metric", total_steps=_reporter.total_steps or None)


@_never_raises
def step(step=None, loss=None, samples=None, tokens=None, **metrics):
    """One optimisation step is done. `samples`, `tokens`: worked off in this step by all processes together.

    Without `step` the steps are counted. Other keywords are metrics: step(loss=l, learning_rate=lr).
    """
    reporter = _reporter
    with reporter.lock:
        if not reporter.is_enabled():
            return
        reporter.last_step = reporter.last_step + 1 if step is None else _count(step)
        reporter.samples += _count(samples or 0)
        reporter.tokens += _count(tokens or 0)
        reporter.pending = (loss, metrics)
        is_last = reporter.total_steps > 0 and reporter.last_step >= reporter.total_steps
        if is_last or time.monotonic() - reporter.last_write >= _INTERVAL_S:
            reporter.write_pending()


@contextlib.contextmanager
def checkpoint(path=""):
    """Around the code that saves: its time counts as checkpoint, and the work before it as safe once it is done."""
    _checkpoint_line("checkpoint_begin", path)
    yield
    _checkpoint_line("checkpoint_end", path)


@_never_raises
def _checkpoint_line(kind, path):
    reporter = _reporter
    with reporter.lock:
        if reporter.is_enabled():
            reporter.write_pending()
            reporter.write(kind, step=reporter.last_step or None, text=str(path)[:_LONGEST_TEXT])


@_never_raises
def metric(**metrics):
    """Numbers that belong to no step: metric(test_accuracy=0.97)."""
    reporter = _reporter
    with reporter.lock:
        numbers = _metrics(metrics)
        if numbers and reporter.is_enabled():
            reporter.write_pending()
            reporter.write("metric", metrics=numbers)


@_never_raises
def message(text):
    """A line for people: it is shown beside the progress."""
    reporter = _reporter
    with reporter.lock:
        if reporter.is_enabled():
            reporter.write("message", text=str(text)[:_LONGEST_TEXT])


@_never_raises
def flush():
    """Writes a step that is still held back. Also done at exit."""
    reporter = _reporter
    with reporter.lock:
        if reporter.is_enabled():
            reporter.write_pending()


def is_enabled():
    """True in a process whose reports are read: under busbar, and rank 0."""
    return _reporter.is_enabled()


def checkpoint_dir(default=None):
    """Where the job file wants checkpoints (checkpoint.path), else `default`."""
    return os.environ.get("BUSBAR_CHECKPOINT_DIR", default)


def members():
    """Who belongs to a live gang now: [{"rank": 0, "hostname": ..., "address": ...}, ...]; [] elsewhere."""
    try:
        with open(os.environ["BUSBAR_MEMBERS"], encoding="utf-8") as file:
            return json.load(file)["members"]
    except Exception:
        return []


@_never_raises
def _close():
    if os.getpid() == _reporter.pid:
        flush()
        if _reporter.descriptor >= 0:
            os.close(_reporter.descriptor)
            _reporter.descriptor = -1


atexit.register(_close)
