"""A server to load: started here or somewhere else, its processor time and its figures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sgn_rt._optional import require
from sgn_rt._processors import available_cpus
from sgn_rt.errors import ServerError

_READY_S = 120.0
_END_S = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """A server.

    Attributes
    ----------
    url
        Where it is.
    token
        What it wants.
    process
        Its number, where it runs on this machine and was started here.
    """

    url: str
    token: str | None = None
    process: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def cpu_s(self) -> float | None:
        """Seconds of processors that it has used; None where that cannot be seen."""
        if self.process is None:
            return None
        try:
            stat = Path(f"/proc/{self.process}/stat").read_text(encoding="utf-8")
        except OSError:
            return None
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def figures(self) -> dict[str, float]:
        """What ``/metrics`` says, sums over labels; buckets of histograms left out."""
        httpx = require("httpx", extra="client", purpose="a server's figures")
        parser = require("prometheus_client.parser", extra="serve", purpose="a server's figures")
        text = httpx.get(f"{self.url}/metrics", headers=self.headers).raise_for_status().text
        found: dict[str, float] = {}
        for family in parser.text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.endswith("_bucket"):
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found


@contextmanager
def own_server(arguments: Sequence[str]) -> Iterator[Served]:
    """Start ``sgn-rt serve`` on a port that is free, and end it.

    Raises
    ------
    ServerError
        If it does not come up.
    """
    command = [sys.executable, "-P", "-m", "sgn_rt", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+", line)
            if found is None:
                raise _not_up(line.strip() or "no address")
            _wait(found[0], process)
            yield Served(found[0], process=process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    httpx = require("httpx", extra="client", purpose="a server's figures")
    end = time.monotonic() + _READY_S
    while time.monotonic() < end and process.poll() is None:
        if httpx.get(f"{url}/readyz").status_code == 200:
            return
        time.sleep(0.1)
    raise _not_up("one that is not ready")


def _not_up(what: str) -> ServerError:
    return ServerError(
        f"server: got {what}, expected one that takes work. Run `sgn-rt serve` to see why."
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """What a server had used and told when a measurement began."""

    served: Served
    at: float
    cpu_s: float | None
    idle_s: float | None
    figures: dict[str, float]

    @classmethod
    def begin(cls, served: Served) -> Watch:
        """From now on."""
        return cls(served, time.perf_counter(), served.cpu_s(), _idle_s(), served.figures())

    def end(self) -> dict[str, float | None]:
        """Since then: shares of the processors, and means of what the server has timed."""
        seconds = time.perf_counter() - self.at
        now, cpu_s = self.served.figures(), self.served.cpu_s()
        used = None if cpu_s is None or self.cpu_s is None else cpu_s - self.cpu_s
        idle_s = _idle_s()
        idle = None if idle_s is None or self.idle_s is None else idle_s - self.idle_s
        every = os.cpu_count() or 1

        def since(name: str) -> float:
            return now.get(name, 0.0) - self.figures.get(name, 0.0)

        def mean(name: str) -> float | None:
            count = since(f"{name}_count")
            return since(f"{name}_sum") / count if count else None

        return {
            "cpu_share": None if used is None else used / seconds / available_cpus(),
            "machine_busy": None if idle is None else max(0.0, 1 - idle / seconds / every),
            "live_windows": since("sgn_rt_window_queue_seconds_count"),
            "late_windows": since("sgn_rt_late_windows_total"),
            "overload": since("sgn_rt_overload_total"),
            "window_queue_s": mean("sgn_rt_window_queue_seconds"),
            "window_compute_s": mean("sgn_rt_batch_compute_seconds"),
            "request_s": mean("sgn_rt_http_request_duration_seconds"),
        }


def _idle_s() -> float | None:
    """Seconds that all processors of this machine together were idle; None where unknown."""
    try:
        line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    except OSError:
        return None
    return sum(map(int, line.split()[4:6])) / os.sysconf("SC_CLK_TCK")
