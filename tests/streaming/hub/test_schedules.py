"""Random schedules of streams that come, go, pause, flood and begin anew, against each alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from sgn_rt.errors import OverloadError

RATES = (8000, 11025, 44100, 44099)
LATENCIES = (None, 0.07, 0.1, 0.3)


class Client:
    """One stream that does something at random, and remembers what it was fed and has read."""

    def __init__(self, rng, hub, noise):
        self.rng, self.noise = rng, noise
        rate, latency = int(rng.choice(RATES)), LATENCIES[rng.integers(len(LATENCIES))]
        context = 0.0 if rate == 8000 else 2 * 128 / 8000
        self.options = {
            "sample_rate": rate,
            "categories": [["drum"], ["horn", "bell"], None][rng.integers(3)],
            "latency_s": None if latency is None else latency + context,
            "residual": bool(rng.integers(2)),
        }
        self.channels = int(rng.choice([1, 1, 2, 3]))
        self.stream = hub.open(channels=self.channels, **self.options)
        self.left = int(rng.integers(1, 4))  # signals, one after the other
        self.begin()

    def begin(self):
        rate = self.options["sample_rate"]
        self.signal = self.noise(
            self.channels, int(self.rng.integers(0, rate // 2)), int(self.rng.integers(1 << 30))
        )
        self.fed = 0
        self.pieces = [self.empty()]

    def empty(self):
        names = [*self.stream.categories, *(["residual"] if self.options["residual"] else [])]
        return {name: np.zeros((self.channels, 0), np.float32) for name in names}

    def feed(self, size):
        block = self.signal[:, self.fed : self.fed + size]
        try:
            self.stream.feed(block)
        except OverloadError:
            return False
        self.fed += block.shape[1]
        return True

    def read(self):
        if self.rng.random() < 0.5:
            self.pieces.append(self.stream.read())
        else:
            out = {name: np.zeros((self.channels, 300), "f4") for name in self.pieces[0]}
            count = self.stream.read_into(out)
            self.pieces.append({name: samples[:, :count] for name, samples in out.items()})
        got = sum(next(iter(piece.values())).shape[1] for piece in self.pieces)
        assert got <= max(0, self.fed - self.stream.latency_samples)

    def act(self):
        """One step; what there is to compare, once its signal is over, and whether it goes on."""
        what = self.rng.choice(["feed", "flood", "read", "reset", "abort", "pause"],
                               p=[0.5, 0.1, 0.3, 0.02, 0.01, 0.07])  # fmt: skip
        if what == "reset":
            self.stream.reset()
            self.begin()
        elif what == "abort":
            self.stream.abort()
            return None, False
        elif what == "flood":
            while self.fed < self.signal.shape[1] and self.feed(200):
                pass
        elif what == "read":
            self.read()
        elif what == "feed" and not self.feed(int(self.rng.choice([0, 1, 17, 400]))):
            self.read()
            time.sleep(0)  # others get on
        if self.fed < self.signal.shape[1]:
            return None, True
        return self.end()

    def end(self):
        self.left -= 1
        self.pieces.append(self.stream.close())
        return (self.signal, self.options, self.pieces), False


def run(seed, hub, noise):
    rng = np.random.default_rng(seed)
    ended, clients, to_come = [], [], int(rng.integers(2, 7))
    while clients or to_come:
        if to_come and (not clients or rng.random() < 0.05):
            clients.append(Client(rng, hub, noise))
            to_come -= 1
        place = int(rng.integers(len(clients)))
        result, goes_on = clients[place].act()
        ended += [result] if result else []
        if not goes_on:
            del clients[place]
    return ended


@pytest.mark.parametrize("seed", range(200))
def test_every_stream_is_as_if_it_were_alone(fake_separator, noise, alone, joined, same, seed):
    rng = np.random.default_rng(1000 + seed)
    batch = int(rng.choice([1, 1, 4]))

    def rounds_otherwise(call, answer):
        """Another number of windows in a call, other roundings."""
        return answer._replace(
            sources=answer.sources * np.float32(1 + 1e-7 * (batch > 1) * len(answer.sources))
        )

    opened = fake_separator(
        concurrency=int(rng.choice([1, 2, 3])), batch=batch, fault=rounds_otherwise
    )
    buffer_s = float(rng.choice([0.1, 0.5, 5.0]))
    with opened.separator.hub(overload="raise", deadline_s=1e9, buffer_s=buffer_s) as hub:
        ended = run(seed, hub, noise)
        stats = hub.stats()
    assert stats.streams == stats.waiting == 0
    for signal, options, pieces in ended:
        same(joined(pieces), alone(opened.separator, signal, **options), 1e-6 if batch > 1 else 0.0)
