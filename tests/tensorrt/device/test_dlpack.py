"""What a consumer may ask for by DLPack, and is refused: memory is shared, where it lies."""

from __future__ import annotations

import pytest

from sgn_rt.tensorrt.device.dlpack import DeviceArray, expect_shared

ARRAY = DeviceArray(4096, (2, 3), "float32", (2, 1))


@pytest.mark.parametrize("device", [None, (2, 1)])
@pytest.mark.parametrize("copy", [None, False])
def test_shared_where_it_lies(device, copy):
    expect_shared(ARRAY, device, copy)


@pytest.mark.parametrize(
    ("device", "copy", "part"),
    [
        (None, True, "got copy=True"),
        ((2, 1), True, "got copy=True"),
        ((1, 0), None, r"got device \(1, 0\), expected \(2, 1\)"),
        ((2, 0), False, r"got device \(2, 0\)"),
    ],
)
def test_anything_else_is_a_buffer_error(device, copy, part):
    with pytest.raises(BufferError, match=part):
        expect_shared(ARRAY, device, copy)
