"""A row in a process of its own, which is ended where it hangs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from sgn_rt._process import Closes
from sgn_rt.benchmarks.loadgen.logs import Outcome, read_outcome
from sgn_rt.benchmarks.loadgen.scenario import Pace, Run
from sgn_rt.errors import EngineError

# -P: of the installed package, not of a checkout that happens to be the working folder.
PROGRAM: Final = (sys.executable, "-P", "-m", "sgn_rt.benchmarks.loadgen.child")


class Child(Closes):
    """An engine, opened and proved, that the generator is let loose on.

    Parameters
    ----------
    subject
        A row's name.
    bundle
        Its folder.
    threads, folder, devices
        As `sgn_rt.benchmarks.rows.subjects.open_subject`.
    categories
        Names.
    opening_s
        Seconds that it may take to open, prove and warm up. Compilers take minutes.
    patience
        How many times longer than expected a run may take, and ...
    grace_s
        ... seconds on top of it.
    program
        What is started; the task is added to it.

    Attributes
    ----------
    pace
        Of the engine, for `Run`.

    Raises
    ------
    EngineError
        If it does not open, fails its proof, or hangs.
    """

    def __init__(
        self,
        subject: str,
        bundle: Path,
        *,
        threads: int,
        folder: Path,
        devices: Sequence[int] | None,
        categories: Sequence[str],
        opening_s: float = 900.0,
        patience: float = 10.0,
        grace_s: float = 60.0,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.subject, self._patience, self._grace_s = subject, patience, grace_s
        task = {
            "subject": subject, "bundle": str(bundle), "threads": threads, "folder": str(folder),
            "devices": None if devices is None else list(devices), "categories": list(categories),
        }  # fmt: skip
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [*program, json.dumps(task)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True,
        )  # fmt: skip
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.pace = Pace(**self._answer("to open", opening_s))
        except BaseException:
            self.close()
            raise

    def run(self, run: Run, folder: Path) -> Outcome:
        """What the generator finds; its files are in the folder then.

        Raises
        ------
        EngineError
            If the engine fails or hangs, or the generator's files are broken. No other run can
            follow.
        """
        asked = {"run": run.to_dict(), "folder": str(folder)}
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended: what it has said tells why
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        timeout_s = self._grace_s + self._patience * run.expected_s
        self._answer(f"{run.scenario}", timeout_s)
        return read_outcome(folder, run.scenario)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for file in (self._process.stdin, self._process.stdout, self._said):
            assert file is not None
            with suppress(BrokenPipeError):  # of what was written to it after its end
                file.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, what: str, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=timeout_s)
        except Empty:
            raise EngineError(
                f"{self.subject}: {what}: got no end within {timeout_s:.0f} s, expected one long "
                "before: it hangs. Leave this row out, and report it."
            ) from None
        if not line:
            raise self._ended(what)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer

    def _ended(self, what: str) -> EngineError:
        code = self._process.wait()
        self._said.seek(0)
        last = (self._said.read().strip().splitlines() or ["no message"])[-1]
        return EngineError(
            f"{self.subject}: {what}: got exit code {code} ({last}), expected an answer. "
            "Run it with `sgn-rt separate` to see what is wrong."
        )
