"""Connections: one UDP port to dial from and to be dialled at, mutual TLS, frames on streams.

aioquic answers a server's request for a certificate as it is. What it has no setting for is
changed on the connection's own objects in `_prepare`: asking the dialler for a certificate, which
keys are accepted, which algorithms are offered, and that there are no unidirectional streams.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

from aioquic import tls
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import keys
import wire
from wire import CODES, Refused

ALPN = "p2p-node/0"
IDLE_SECONDS = 12
KEEP_ALIVE_SECONDS = 5
REQUEST_SECONDS = 5
BAD_MESSAGES = 3

# What answers a request: it is given the connection, name and body, and returns the answer's body
# and the data that follows it.
Handler = Callable[["Link", str, dict], Awaitable[tuple[dict, bytes]]]


def configuration(key: Ed25519PrivateKey, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        certificate=keys.tls_certificate(key),
        cipher_suites=[
            tls.CipherSuite.AES_128_GCM_SHA256,
            tls.CipherSuite.AES_256_GCM_SHA384,
            tls.CipherSuite.CHACHA20_POLY1305_SHA256,
        ],
        idle_timeout=IDLE_SECONDS,
        is_client=is_client,
        private_key=key,
        supported_versions=[QuicProtocolVersion.VERSION_1],
        verify_mode=ssl.CERT_NONE,
    )


def _prepare(quic: QuicConnection, expected: bytes | None) -> None:
    """Sets what aioquic has no setting for. `expected`: the only key that is accepted."""
    quic._local_max_streams_uni.value = quic._local_max_streams_uni.sent = 0
    initialize = quic._initialize

    def prepared(peer_cid: bytes) -> None:
        initialize(peer_cid)
        context = quic.tls
        context._request_client_certificate = True
        context._signature_algorithms = [tls.SignatureAlgorithm.ED25519]
        context._supported_groups = [tls.Group.X25519]
        verify = context._check_certificate_verify_signature
        context._check_certificate_verify_signature = partial(
            _check_far_end, context, verify, expected
        )

    quic._initialize = prepared


def _check_far_end(context: tls.Context, verify, expected: bytes | None, message) -> None:
    verify(message)
    key = keys.certified_key(context._peer_certificate)
    if key is None or context._peer_certificate_chain:
        raise tls.AlertBadCertificate("not one certificate of a valid key")
    if expected is not None and key != expected:
        raise tls.AlertBadCertificate("another node's key")


class Link(QuicConnectionProtocol):
    """One connection, dialled or accepted."""

    def __init__(self, quic: QuicConnection, handler: Handler, expected: bytes | None = None):
        super().__init__(quic)
        _prepare(quic, expected)
        self._handler = handler
        self._is_dialler = quic.configuration.is_client
        self._streams: dict[int, asyncio.StreamReader] = {}
        self._answering: dict[int, asyncio.Task] = {}
        self._next_far = int(self._is_dialler)
        self._bad_messages = 0
        self._ready = asyncio.get_running_loop().create_future()
        self.ended: Refused | None = None
        self.limit = wire.FRAME_BYTES
        self._greeted = asyncio.Event()
        self.to_index = False
        self.grants: dict[bytes, object] = {}
        # Tickets for resumption that the far end sent. There must be none.
        self.tickets: list[tls.SessionTicket] = []

    @property
    def greeted(self) -> bool:
        """Whether `hello` is answered."""
        return self._greeted.is_set()

    @greeted.setter
    def greeted(self, _: bool) -> None:
        self._greeted.set()

    @property
    def far_key(self) -> bytes:
        return keys.certified_key(self._quic.tls._peer_certificate)

    @property
    def far_address(self) -> str:
        host, port = self._quic.get_peer_address()[:2]
        return address_text(host, port)

    def far_limits(self) -> dict[str, float]:
        """What the far end announced."""
        quic = self._quic
        return {
            "unidirectional streams": quic._remote_max_streams_uni,
            "bidirectional streams": quic._remote_max_streams_bidi,
            "datagram bytes": quic._remote_max_datagram_frame_size or 0,
            "idle seconds": quic._remote_max_idle_timeout,
            "session tickets": len(self.tickets),
        }

    async def wait_ready(self) -> None:
        async with asyncio.timeout(REQUEST_SECONDS):
            await asyncio.shield(self._ready)

    # Requests of this end

    async def request(self, name: str, body: dict) -> dict:
        """Sends a request and reads its answer; an E is raised."""
        answer, reader = await self.exchange(wire.message(name, body))
        if await reader.read():
            raise Refused("bad-message", "bytes after the answer")
        return answer

    async def exchange(self, raw: bytes, fin: bool = True) -> tuple[dict, asyncio.StreamReader]:
        """Sends these bytes on a new stream and reads the answer's frame; the reader has what
        follows it."""
        if self.ended:
            raise Refused(self.ended.code, self.ended.text)
        stream = self._quic.get_next_available_stream_id()
        reader = self._open(stream)
        self._quic.send_stream_data(stream, raw, end_stream=fin)
        self.transmit()
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                name, body = wire.read_message(await read_frame(reader, wire.MEMBER_FRAME_BYTES))
        except TimeoutError:
            self.cancel(stream, "timeout")
            raise Refused("timeout", "no answer") from None
        if name == "E":
            raise _error(body)
        if name != "A":
            raise Refused("bad-message", f"the answer {name}")
        return body, reader

    def open_unfinished(self, raw: bytes) -> int:
        """Sends the beginning of a request; the stream's number."""
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, raw)
        self.transmit()
        return stream

    def cancel(self, stream: int, code: str) -> None:
        self._streams.pop(stream, None)
        self._quic.reset_stream(stream, CODES[code])
        self._quic.stop_stream(stream, CODES[code])
        self.transmit()

    # Requests of the far end

    async def _answer(self, stream: int, reader: asyncio.StreamReader) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                if stream != 0:
                    await self._greeted.wait()
                content = await read_frame(reader, self.limit)
                name, body = wire.read_message(content)
                if name == "G":
                    await self._earlier(stream)
            body, data = await self._handler(self, name, body)
            self._send(stream, wire.message("A", body) + data)
        except TimeoutError:
            self._send(stream, wire.error(Refused("timeout", "the request has not come")))
        except Refused as refused:
            self._send(stream, wire.error(refused))
            self._count_bad(refused)

    async def _earlier(self, stream: int) -> None:
        """What was asked before is answered: it may be the P of this G."""
        if earlier := [task for number, task in self._answering.items() if number < stream]:
            await asyncio.wait(earlier)

    def _send(self, stream: int, data: bytes) -> None:
        if self.ended is None:
            self._quic.send_stream_data(stream, data, end_stream=True)
            self.transmit()

    def _count_bad(self, refused: Refused) -> None:
        self._bad_messages += refused.code in ("bad-message", "too-large")
        if not self.greeted:
            self._loop.call_later(1, self.end, refused.code)
        elif self._bad_messages == BAD_MESSAGES:
            self.end("bad-message")

    # Events

    def end(self, code: str = "done") -> None:
        self.close(CODES[code])

    def quic_event_received(self, event: events.QuicEvent) -> None:
        match event:
            case events.HandshakeCompleted():
                self._handshake_completed()
            case events.StreamDataReceived(stream_id=stream):
                self._received(stream, event.data, event.end_stream)
            case events.StreamReset(stream_id=stream):
                self._abandon(stream)
                if reader := self._streams.pop(stream, None):
                    reader.set_exception(Refused.numbered(event.error_code, "the stream was reset"))
            case events.StopSendingReceived(stream_id=stream):
                self._abandon(stream)
            case events.ConnectionTerminated():
                self._terminated(event)

    def _received(self, stream: int, data: bytes, is_end: bool) -> None:
        # A stream opens all before it of its kind, though nothing of those may have come.
        while stream % 4 == self._is_dialler and self._next_far <= stream:
            self._accept(self._next_far)
            self._next_far += 4
        reader = self._streams.get(stream)
        # Otherwise it is what comes late, on a stream of this end that was given up.
        if reader is not None:
            reader.feed_data(data)
            if is_end:
                reader.feed_eof()
                del self._streams[stream]

    def _accept(self, stream: int) -> None:
        task = asyncio.ensure_future(self._answer(stream, self._open(stream)))
        task.add_done_callback(lambda _: self._answering.pop(stream))
        self._answering[stream] = task

    def _abandon(self, stream: int) -> None:
        """The far end no longer wants its answer."""
        if task := self._answering.get(stream):
            task.cancel()
            self._quic.reset_stream(stream, CODES["cancelled"])

    def _handshake_completed(self) -> None:
        if self._quic.tls._peer_certificate is None:
            self._quic.close(0x100 + tls.AlertDescription.certificate_required, frame_type=6)
            return
        self._ready.set_result(None)
        self._pinging = asyncio.ensure_future(self._keep_alive())

    def _terminated(self, event: events.ConnectionTerminated) -> None:
        if event.frame_type is None:
            self.ended = Refused.numbered(event.error_code, "the connection was closed")
        else:
            self.ended = Refused("unavailable", f"{event.error_code:#x} {event.reason_phrase}")
        if not self._ready.done():
            self._ready.set_exception(self.ended)
            return
        for reader in self._streams.values():
            reader.set_exception(self.ended)
        for task in (*self._answering.values(), self._pinging):
            task.cancel()

    def _open(self, stream: int) -> asyncio.StreamReader:
        reader = self._streams[stream] = asyncio.StreamReader()
        return reader

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            self._quic.send_ping(0)
            self.transmit()


async def read_frame(reader: asyncio.StreamReader, limit: int) -> bytes:
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > limit:
            raise Refused("too-large", "the frame")
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise Refused("bad-message", "the stream ends in the frame") from error


def _error(body: dict) -> Refused:
    code = wire.field(body, "code", int)
    text = wire.field(body, "text", str)
    return Refused.numbered(code, text[:1024], body.get("retry_after_ms"))


class Endpoint(QuicServer):
    """The UDP port of a node. It accepts connections, as aioquic's server does, and dials."""

    def __init__(self, key: Ed25519PrivateKey, handler: Handler):
        super().__init__(
            configuration=configuration(key, is_client=False),
            create_protocol=lambda quic, stream_handler: Link(quic, handler),
        )
        self.dialling = configuration(key, is_client=True)
        self._handler = handler

    @classmethod
    async def bind(cls, key: Ed25519PrivateKey, handler: Handler, host: str) -> "Endpoint":
        loop = asyncio.get_running_loop()
        _, endpoint = await loop.create_datagram_endpoint(
            lambda: cls(key, handler), local_addr=(host, 0)
        )
        return endpoint

    @property
    def address(self) -> str:
        return address_text(*self._transport.get_extra_info("sockname")[:2])

    async def dial(self, address: str, expected: bytes | None) -> Link:
        """Dials an address; only the node with the expected key is accepted, if one is given."""
        tickets: list[tls.SessionTicket] = []
        quic = QuicConnection(configuration=self.dialling, session_ticket_handler=tickets.append)
        link = Link(quic, self._handler, expected)
        link.tickets = tickets
        link.connection_made(self._transport)
        link._connection_id_issued_handler = partial(self._connection_id_issued, protocol=link)
        link._connection_id_retired_handler = partial(self._connection_id_retired, protocol=link)
        link._connection_terminated_handler = partial(self._connection_terminated, protocol=link)
        self._protocols[quic.host_cid] = link
        link.connect(parse_address(address))
        await link.wait_ready()
        return link


# Addresses


def address_text(host: str, port: int) -> str:
    ip = ipaddress.ip_address(host)
    return f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return str(ipaddress.ip_address(host.strip("[]"))), int(port)
