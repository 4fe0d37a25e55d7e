"""What a server says of presence in a live stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgn_rt.serving.client.failures import not_ours
from sgn_rt.streaming.presence_events import PresenceEvent


def presence_event(told: Mapping[str, Any]) -> PresenceEvent:
    """The event of a server's message."""
    try:
        return PresenceEvent(
            kind=told["kind"],
            category=str(told["category"]),
            time_s=float(told["time_s"]),
            probability=float(told["probability"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise not_ours(f"{dict(told)!r:.120} for presence") from error
