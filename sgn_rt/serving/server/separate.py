"""``POST /separate``: a file in, stems out."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgn_rt._temporary import temporary_folder
from sgn_rt.report import SeparationFiles
from sgn_rt.separator import Separator
from sgn_rt.serving.recording_report import as_json
from sgn_rt.serving.server.answers import (
    MEDIA_TYPES,
    as_multipart,
    as_zip,
    attachment,
    blocks,
    boundary,
)
from sgn_rt.serving.server.backend import Backend
from sgn_rt.serving.server.desk import Desk
from sgn_rt.serving.server.metrics import Metrics
from sgn_rt.serving.server.options import ServerOptions
from sgn_rt.serving.server.parameters import Wanted
from sgn_rt.serving.server.problems import HttpError, problem_of
from sgn_rt.serving.server.replies import reply
from sgn_rt.serving.server.tracing import span
from sgn_rt.serving.server.upload import STALL_S, expect_upload, spooled

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of an upload."""

    files: SeparationFiles
    report: dict[str, Any]


class Separate:
    """The endpoint.

    Parameters
    ----------
    backend, options, metrics
        The server's.
    """

    def __init__(self, backend: Backend, options: ServerOptions, metrics: Metrics) -> None:
        self._backend, self._options, self._metrics = backend, options, metrics
        self.desk = Desk(options.jobs, options.queue)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        from starlette.requests import Request

        sending = _Sending(send)
        request = Request(scope, receive)
        try:
            with ExitStack() as held:
                response = await self._response(request, held)
                await response(scope, receive, sending)
        except Exception as error:
            if sending.begun:
                raise
            problem = problem_of(error)
            if problem.status == 500:
                log.error("a separation failed", exc_info=error)
            await reply(request, problem, send)

    async def _response(self, request: Request, held: ExitStack) -> Response:
        """What is answered; what it reads of goes with what is held."""
        separator, _ = held.enter_context(self._backend.working())
        wanted = Wanted.of(request.query_params.multi_items(), separator.config)
        expect_upload(request, self._options.max_upload)
        held.enter_context(span("sgn_rt.separate", request.headers))
        work = held.enter_context(ExitStack())  # what a thread may hold on to
        try:
            self.desk.take(work)
        except HttpError:
            self._metrics.turned_away["too-many-recordings"] += 1
            raise
        folder = work.enter_context(temporary_folder(self._options.spool))
        path = folder / "recording"
        names = {str(path): "recording", str(folder): "spool"}
        try:
            async with asyncio.timeout(self._options.time_limit_s):
                name = await self._uploaded(request, path)
                made = await self._separated(request, separator, wanted, path, work)
        except TimeoutError as error:
            raise HttpError(504, "TimeLimit", f"server: got no stems within "
                          f"{self._options.time_limit_s:g} s, expected them by then. Send a part "
                          "of the recording.") from error  # fmt: skip
        except Exception as error:
            raise problem_of(error, names) from error
        self._metrics.separated(made.files)
        report = made.report | {
            "input": name,
            "stems": {stem: file.name for stem, file in made.files.stems.items()},
        }
        return _answer(request, wanted, report, made.files.stems)

    async def _uploaded(self, request: Request, path: Path) -> str:
        """Have an upload in a file; what it is called."""
        upload = asyncio.ensure_future(spooled(request, path, self._options.max_upload))
        ending = asyncio.ensure_future(self._backend.ending.wait())
        try:
            await asyncio.wait({upload, ending}, return_when=asyncio.FIRST_COMPLETED)
            if upload.done():
                return upload.result()
            raise _draining()
        finally:
            upload.cancel()
            ending.cancel()
            await asyncio.wait({upload})

    async def _separated(
        self, request: Request, separator: Separator, wanted: Wanted, path: Path, work: ExitStack
    ) -> _Made:
        """Have a thread separate an upload; end it when there is nobody left to want it."""
        cancel = threading.Event()

        def run() -> _Made:
            checked = separator.checked_windows
            files = separator.separate_to(
                path,
                path.parent / "stems",
                most_seconds=self._options.max_seconds,
                most_channels=self._options.max_channels,
                cancel=cancel,
                **wanted.options,
            )
            return _Made(files, as_json("", files, separator, checked))

        job = self.desk.submit(run)
        ending = asyncio.ensure_future(self._backend.ending.wait())
        waits: list[asyncio.Future[Any]] = [
            asyncio.wrap_future(job),
            asyncio.ensure_future(_gone(request)),
            ending,
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if job.done():
                return job.result()
            if ending.done():
                raise _draining()
            raise HttpError(400, "Disconnected", "client: got no connection any more, expected it "
                            "to wait. Send it again.")  # fmt: skip
        finally:
            for each in waits:
                each.cancel()
            cancel.set()
            if not job.done():  # the thread keeps its place, and the folder that it works in
                self.desk.leave(job, work)


def _draining() -> HttpError:
    return HttpError(503, "Draining", "server: got told to end before the stems were made, "
                     "expected more time. Send it to another one.")  # fmt: skip


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Sending:
    """Sends to a client, which is not waited for without end."""

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        async with asyncio.timeout(STALL_S):
            await self._send(message)


def _answer(
    request: Request, wanted: Wanted, report: dict[str, Any], stems: dict[str, Path]
) -> Response:
    from starlette.responses import StreamingResponse

    media_type = MEDIA_TYPES[wanted.format]
    content: Iterator[bytes]
    if wanted.stem is not None:
        path = stems[wanted.stem]
        size = str(path.stat().st_size)
        headers = {"Content-Disposition": attachment(path.name), "Content-Length": size}
        return StreamingResponse(blocks(path), media_type=media_type, headers=headers)
    if "multipart/mixed" in request.headers.get("accept", ""):
        between = boundary()
        content = as_multipart(between, media_type, report, stems)
        return StreamingResponse(content, media_type=f'multipart/mixed; boundary="{between}"')
    headers = {"Content-Disposition": attachment("stems.zip")}
    return StreamingResponse(as_zip(report, stems), media_type="application/zip", headers=headers)
