"""Records of the JSON hub protocol: bytes measured from real peers, and what to make of others."""

from __future__ import annotations

import pytest

from tapekeeper.core.signalr.records import (
    PING,
    Ack,
    CancelInvocation,
    Close,
    Completion,
    Invocation,
    Malformed,
    Ping,
    Record,
    Sequence,
    StreamInvocation,
    StreamItem,
    Unknown,
    decode,
    encode_ack,
    encode_close,
    encode_completion,
    encode_invocation,
    encode_invocation_raw,
    encode_sequence,
)

TRADES = (
    b'["CON.F.US.EP.U25",[{"symbolId":"F.US.EP","price":2100.25,'
    b'"timestamp":"2024-07-21T13:45:00.1234567+00:00","type":0,"volume":2},'
    b'{"symbolId":"F.US.EP","price":2100.50,'
    b'"timestamp":"2024-07-21T13:45:00+00:00","type":1,"volume":1}]]'
)

FROM_SERVER: list[tuple[bytes, Record]] = [
    (
        b'{"type":1,"target":"GatewayTrade","arguments":' + TRADES + b"}",
        Invocation("GatewayTrade", TRADES),
    ),
    (b'{"type":3,"invocationId":"1","result":null}', Completion("1", b"null")),
    (b'{"type":3,"invocationId":"7","result":5}', Completion("7", b"5")),
    (
        '{"type":3,"invocationId":"1","result":"hé€\\"\\\\/<>&"}'.encode(),
        Completion("1", '"hé€\\"\\\\/<>&"'.encode()),
    ),
    (b'{"type":2,"invocationId":"1","item":0}', StreamItem("1", b"0")),
    (b'{"type":3,"invocationId":"1"}', Completion("1")),
    (
        b'{"type":1,"invocationId":"s1","target":"GetValue","arguments":["q"]}',
        Invocation("GetValue", b'["q"]', "s1"),
    ),
    (b'{"type":6}', Ping()),
    (b'{"type":7}', Close()),
    (
        b'{"type":7,"error":"Connection closed with an error.","allowReconnect":true}',
        Close("Connection closed with an error.", allow_reconnect=True),
    ),
    (b'{"type":8,"sequenceId":1}', Ack(1)),
    (b'{"type":9,"sequenceId":1}', Sequence(1)),
]

FROM_CLIENT: list[tuple[bytes, Record]] = [
    (
        b'{"target":"Sub","arguments":["A",7],"invocationId":"0","type":1}',
        Invocation("Sub", b'["A",7]', "0"),
    ),
    ('{"target":"Fire","arguments":["é"],"type":1}'.encode(), Invocation("Fire", '["é"]'.encode())),
    (
        b'{"target":"Cnt","arguments":[3],"invocationId":"1","type":4}',
        StreamInvocation("Cnt", b"[3]", "1"),
    ),
    (b'{"invocationId":"1","type":5}', CancelInvocation("1")),
    (
        b'{"target":"Up","arguments":[],"invocationId":"3","streamIds":["2"],"type":1}',
        Invocation("Up", b"[]", "3", ("2",)),
    ),
    (b'{"invocationId":"2","item":1,"type":2}', StreamItem("2", b"1")),
    (b'{"invocationId":"2","type":3}', Completion("2")),
    (
        b'{"error":"Client didn\'t provide a result.","invocationId":"s2","type":3}',
        Completion("s2", error="Client didn't provide a result."),
    ),
    (b'{"invocationId":"s1","result":"v-q","type":3}', Completion("s1", b'"v-q"')),
]

FROM_GATEWAY: list[tuple[bytes, Record]] = [
    (
        (
            b'{"type":1,"invocationId":"1","target":"SubscribeContractTrades",'
            b'"arguments":["CON.F.US.EP.Z26"]}'
        ),
        Invocation("SubscribeContractTrades", b'["CON.F.US.EP.Z26"]', "1"),
    ),
]


@pytest.mark.parametrize(("raw", "record"), [*FROM_SERVER, *FROM_CLIENT, *FROM_GATEWAY])
def test_bytes_measured_from_real_peers(raw: bytes, record: Record) -> None:
    """What a 9.0.7 server and the official JS client sent is read as what it means."""
    assert decode(raw) == record


@pytest.mark.parametrize(
    ("raw", "record"),
    [
        (b'{"type":6,"surprise":{"a":[1]}}', Ping()),
        (b'{"type":6,"error":5,"result":7}', Ping()),
        (b'{"headers":{"a":"b"},"arguments":[],"type":1,"target":"T"}', Invocation("T", b"[]")),
        (b'{"type":1,"target":"T","arguments":[],"invocationId":null}', Invocation("T", b"[]")),
        (b'{"type":1,"target":"T","arguments": [1] }', Invocation("T", b"[1]")),
        (b'{"type":7,"allowReconnect":null,"error":null}', Close()),
    ],
)
def test_member_order_is_free_and_strange_members_are_ignored(raw: bytes, record: Record) -> None:
    """Only the members that a type defines are read, in any order; null is absent."""
    assert decode(raw) == record


@pytest.mark.parametrize("raw", [b'{"type":99}', b'{"type":0}', b'{"target":5,"type":-1}'])
def test_an_unknown_type_is_no_error(raw: bytes) -> None:
    """A type this version does not define is kept as unknown, whatever else it holds."""
    record = decode(raw)
    assert type(record) is Unknown
    assert record.raw == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b'{"type":"6"}',
        b'{"target":"T","arguments":[]}',
        b'{"type":1,"target":"T"}',
        b'{"type":1,"arguments":[]}',
        b'{"type":1,"target":"T","arguments":{}}',
        b'{"type":1,"target":"T","arguments":null}',
        b'{"type":1,"target":"T","arguments":[],"invocationId":7}',
        b'{"type":1,"target":"\xff","arguments":[]}',
        b'{"type":2,"item":1}',
        b'{"type":2,"invocationId":"1"}',
        b'{"type":3,"result":1}',
        b'{"type":3,"invocationId":1}',
        b'{"type":3,"invocationId":"1","result":1,"error":"e"}',
        b'{"type":3,"invocationId":"1","result":null,"error":"e"}',
        b'{"type":4,"target":"T","arguments":[]}',
        b'{"type":4,"target":"T","arguments":5,"invocationId":"1"}',
        b'{"type":5}',
        b'{"type":7,"allowReconnect":"yes"}',
        b'{"type":8}',
        b'{"type":9,"sequenceId":"1"}',
        b'{"type":6}{"type":6}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_malformed(raw: bytes) -> None:
    """Bytes that the protocol does not allow become a value that holds them whole."""
    record = decode(raw)
    assert type(record) is Malformed
    assert record.raw == raw
    assert record.detail


def test_an_empty_record_says_so() -> None:
    """The detail of an empty record is not a parser's."""
    assert decode(b"") == Malformed(b"", "an empty record")


@pytest.mark.parametrize(
    ("encoded", "wire"),
    [
        (PING, b'{"type":6}\x1e'),
        (
            encode_invocation("SubscribeContractTrades", ["CON.F.US.EP.Z26"], invocation_id="1"),
            (
                b'{"type":1,"invocationId":"1","target":"SubscribeContractTrades",'
                b'"arguments":["CON.F.US.EP.Z26"]}\x1e'
            ),
        ),
        (
            encode_invocation("Fire", ["é"]),
            '{"type":1,"target":"Fire","arguments":["é"]}\x1e'.encode(),
        ),
        (
            encode_invocation_raw("GatewayTrade", TRADES),
            b'{"type":1,"target":"GatewayTrade","arguments":' + TRADES + b"}\x1e",
        ),
        (encode_completion("1"), b'{"type":3,"invocationId":"1","result":null}\x1e'),
        (encode_completion("7", result=b"5"), b'{"type":3,"invocationId":"7","result":5}\x1e'),
        (encode_completion("1", result=None), b'{"type":3,"invocationId":"1"}\x1e'),
        (
            encode_completion("s2", error="Client didn't provide a result."),
            b'{"type":3,"invocationId":"s2","error":"Client didn\'t provide a result."}\x1e',
        ),
        (encode_close(), b'{"type":7}\x1e'),
        (encode_ack(1), b'{"type":8,"sequenceId":1}\x1e'),
        (encode_sequence(1), b'{"type":9,"sequenceId":1}\x1e'),
        (
            encode_close(error="Connection closed with an error.", allow_reconnect=True),
            b'{"type":7,"error":"Connection closed with an error.","allowReconnect":true}\x1e',
        ),
    ],
)
def test_encoded_bytes(encoded: bytes, wire: bytes) -> None:
    """Encoders give the bytes of the protocol, members in the server's order."""
    assert encoded == wire
