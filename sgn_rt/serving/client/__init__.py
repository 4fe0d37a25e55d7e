"""A client of ``sgn-rt serve``: files and live streams; without any engine, without PyTorch.

`Client` waits, `AsyncClient` is awaited; both do the same. The packages are those of the extra
``client``.
"""

from sgn_rt.serving.client.answer import RemoteFiles, RemoteSeparation
from sgn_rt.serving.client.asynchronous import AsyncClient
from sgn_rt.serving.client.blocking import Client, ClientStream
from sgn_rt.serving.client.live import AsyncClientStream

__all__ = [
    "AsyncClient",
    "AsyncClientStream",
    "Client",
    "ClientStream",
    "RemoteFiles",
    "RemoteSeparation",
]
