"""A Ray cluster of two nodes on this machine, and small recordings for a small model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sgn_rt.model.bundle import Bundle
from sgn_rt.serving.folders.desk import Work
from sgn_rt.serving.folders.entry import Entry
from sgn_rt.serving.folders.state import fingerprint_of

STORE = 80 * 2**20
"""Bytes of shared memory a node: the least that Ray takes."""


@pytest.fixture(scope="session", autouse=True)
def _ray_of_tests() -> Iterator[None]:
    """No tokens, no telemetry, and no cluster that happens to be there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


def processes_of(session: str) -> list[int]:
    """Processes that Ray started for a session."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            command = (each / "cmdline").read_bytes()
            environment = (each / "environ").read_bytes()
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        if int(each.name) != os.getpid() and session.encode() in command + environment:
            found.append(int(each.name))
    return found


@dataclass
class Nodes:
    """A head, from which runs are started, and a node that may be lost."""

    cluster: Any
    other: Any = None
    sessions: set[str] = field(default_factory=set)

    @property
    def address(self) -> str:
        return self.cluster.address

    def grow(self) -> None:
        """Have the other node, again if it was lost."""
        if self.other is None:
            self.other = self.cluster.add_node(num_cpus=1, object_store_memory=STORE)

    def lose(self) -> None:
        """End all processes of the other node at once, as a loss of power does."""
        self.cluster.remove_node(self.other, allow_graceful=False)
        self.other = None


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes of a processor each."""
    utils = pytest.importorskip("ray.cluster_utils")
    head = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    made = Nodes(cluster)
    session = Path(cluster.head_node.get_session_dir_path()).name
    try:
        made.grow()
        yield made
    finally:
        cluster.shutdown()
    assert processes_of(session) == []


@dataclass
class Place:
    """Recordings in a folder, and where their stems go."""

    folder: Path
    material: list[np.ndarray]
    opening: dict[str, Any]
    work: Work
    entries: list[Entry] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.work.output

    def add(self, count: int, **more: bytes) -> list[Entry]:
        """So many good recordings, and files of other content by their names."""
        self.folder.mkdir(exist_ok=True)
        for number in range(count):
            path = self.folder / f"{number:03}.wav"
            samples = self.material[number % len(self.material)]
            soundfile.write(path, samples, 8000, subtype="FLOAT")
            self._list(path)
        for name, content in more.items():
            path = self.folder / f"{name}.wav"
            path.write_bytes(content)
            self._list(path)
        return self.entries

    def _list(self, path: Path) -> None:
        self.entries.append(Entry(path=path, key=path.name, folder=path.stem, options={}))


@pytest.fixture
def place(tmp_path, material, small_bundle) -> Place:
    options = {"categories": ["bell", "horn"]}
    work = Work(
        output=tmp_path / "out",
        options=options,
        fingerprint=fingerprint_of(Bundle.open(small_bundle), options),
        tries=2,
    )
    return Place(tmp_path / "in", material, {"bundle": small_bundle, "engine": "onnxruntime"}, work)
