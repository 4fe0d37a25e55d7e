"""Every run of a machine in one folder: a file each, none ever replaced, and a page of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from sgn_rt._atomic import write_new, write_whole
from sgn_rt.benchmarks.report.course import GENERATOR, course_page, time_of
from sgn_rt.benchmarks.report.files import read_result
from sgn_rt.benchmarks.result import Result
from sgn_rt.errors import ConfigError

PAGE: Final = "index.html"
_NAME: Final = re.compile(r"bench-\d{8}T\d{6}Z(-\d+)?\.json")


class History:
    """The runs in a folder, the oldest first.

    Parameters
    ----------
    folder
        May not be there yet.

    Raises
    ------
    ConfigError
        If a file in it that is called as a run is none, or its page is somebody else's.
    DependencyError
        If jsonschema is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                f"{folder}: got a file, expected a folder of runs. Name a folder, or a new one."
            )
        paths = sorted(p for p in folder.glob("*.json") if _NAME.fullmatch(p.name))
        self.runs = sorted((read_result(path) for path in paths), key=time_of)
        self._expect_own_page()

    def _expect_own_page(self) -> None:
        page = self.folder / PAGE
        if page.exists() and GENERATOR not in page.read_text("utf-8", errors="replace")[:1000]:
            raise ConfigError(
                f"{page}: got a page of something else, expected one that a history has drawn. "
                "Name another folder, or move it away."
            )

    def add(self, result: Result) -> Path:
        """Keep a run, and draw the page anew; the file of the run.

        Raises
        ------
        ConfigError
            If it cannot be written.
        DependencyError
            If matplotlib is not installed; the run is kept then.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self._kept(result)
            self.runs = sorted([*self.runs, result], key=time_of)
            write_whole(self.folder / PAGE, course_page(self.runs).encode())
        except OSError as error:
            raise ConfigError(
                f"{self.folder}: got {error.strerror or error}, expected to keep a run there. "
                "Check the name, permissions and free space."
            ) from error
        return path

    def _kept(self, result: Result) -> Path:
        stem = f"bench-{time_of(result):%Y%m%dT%H%M%SZ}"
        content = json.dumps(result.to_dict(), indent=1, allow_nan=False).encode() + b"\n"
        number = 1
        while True:
            path = self.folder / f"{stem}{f'-{number}' if number > 1 else ''}.json"
            try:
                write_new(path, content)
            except FileExistsError:
                number += 1
            else:
                return path
