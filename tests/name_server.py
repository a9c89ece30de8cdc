"""A name server on a loopback port, with the records that a test gives it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Records = Mapping[tuple[str, str], list[str]]


@contextmanager
def name_server(records: Records) -> Iterator[str]:
    """Answer for these (name, type) until the end; yields host:port."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=_serve, args=(listening, records), daemon=True)
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    listening.sendto(b"", listening.getsockname())
    thread.join(timeout=5)
    listening.close()


def _serve(listening: socket.socket, records: Records) -> None:
    while True:
        data, client = listening.recvfrom(4096)
        if not data:
            return
        listening.sendto(_answer(data, records), client)


def _answer(data: bytes, records: Records) -> bytes:
    query = dns.message.from_wire(data)
    (question,) = query.question
    name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.RA
    found = records.get((name, kind), [])
    if found:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
    elif not any(known == name for known, _ in records):
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response.to_wire()
