"""The bottleneck in words, on figures made by hand."""

from __future__ import annotations

import pytest

from sgn_rt.benchmarks.machine.bottleneck import ARITHMETIC, MEMORY, TRANSFER, Measured, words

NETWORK_FIRST = {"network": 0.7, "dsp": 0.2, "files": 0.1, "copies": 0.0, "rest": 0.0}


def told(**values):
    made = {"shares": NETWORK_FIRST, "busy": 0.9, "took_s": 0.1} | values
    return words(Measured(**made))


def test_arithmetic():
    assert told(need_s={ARITHMETIC: 0.06, MEMORY: 0.01}) == (
        "The network with 70% of the processor time; next transforms, masks and resampling (20%). "
        "It is bound by arithmetic: it runs at 60% of the rate of a float32 matrix product on the "
        "same threads."
    )


def test_memory():
    found = told(need_s={ARITHMETIC: 0.01, MEMORY: 0.08})
    assert "It is bound by memory: it runs at 80% of the rate at which" in found


def test_no_bound_is_near():
    found = told(need_s={ARITHMETIC: 0.02, MEMORY: 0.01})
    assert "It is near no bound: 20% of the rate of a float32 matrix product" in found


@pytest.mark.parametrize(("precision", "part"), [
    ("int8", "It computes in int8, at 2.0 times the rate of a float32"),
    ("fp32", "It is bound by arithmetic: it runs at 200% of"),
])  # fmt: skip
def test_smaller_numbers_may_be_faster_than_float32(precision, part):
    assert part in told(need_s={ARITHMETIC: 0.2}, precision=precision)


def test_what_was_not_measured_is_not_said():
    assert told().endswith("what the machine can do was not measured.")
    nothing = told(took_s=0.0, need_s={ARITHMETIC: 0.1})
    assert nothing.endswith("what the machine can do was not measured.")


def test_something_else_takes_more_than_the_network():
    shares = {"network": 0.3, "dsp": 0.6, "files": 0.1, "copies": 0.0, "rest": 0.0}
    assert told(shares=shares, need_s={ARITHMETIC: 0.09}) == (
        "Transforms, masks and resampling with 60% of the processor time; next the network (30%)."
    )


def test_waiting():
    found = told(busy=0.4)
    assert found.startswith("Waiting: the processors were busy 40% of the time. Of what they did")


@pytest.mark.parametrize(("idle", "begin"), [
    (0.02, "Other programs: they left it 40% of the processors, of which most went to the network"),
    (0.3, "Waiting: "), (None, "Waiting: "),
])  # fmt: skip
def test_who_waits_for_others(idle, begin):
    assert told(busy=0.4, idle=idle).startswith(begin)


def test_of_a_gpu():
    busy = told(on_gpu=True, busy=0.9)
    assert busy.startswith("The host: its processors were busy 90%")
    link = told(on_gpu=True, busy=0.1, need_s={TRANSFER: 0.09, MEMORY: 0.02})
    assert link == (
        "The GPU, or waiting for it: the host was busy 10%. It is bound by transfer: it runs at "
        "90% of the rate of the link between host and GPU."
    )
