"""Requests as no client library would send them, byte by byte, each with what may come of it."""

import gzip
import json

JSON = b"content-type: application/json\r\n"
HOST = b"host: localhost\r\n"
PATH = b"/v1/chat/completions"
GOOD = json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
SECOND = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
"""What a smuggler hides behind the first request."""


def post(body: bytes, headers: bytes = b"", path: bytes = PATH, *, length: bool = True) -> bytes:
    """A request that is right but for what is given."""
    counted = b"content-length: %d\r\n" % len(body) if length else b""
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + JSON + headers + counted + b"\r\n" + body


def get(path: bytes, headers: bytes = HOST) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + headers + b"\r\n"


def chunked(body: bytes, headers: bytes = b"transfer-encoding: chunked\r\n") -> bytes:
    return post(body, headers, length=False)


WHOLE_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)

FRAMING: dict[str, bytes] = {
    "length and chunks": post(b"0\r\n\r\n" + SECOND, b"transfer-encoding: chunked\r\n"),
    "chunks and length": chunked(
        b"0\r\n\r\n" + SECOND, b"transfer-encoding: chunked\r\ncontent-length: 5\r\n"
    ),
    "two lengths": post(GOOD + SECOND, b"content-length: %d\r\n" % len(GOOD)),
    "two lengths that agree": post(GOOD, b"content-length: %d\r\n" % len(GOOD)) + SECOND,
    "a list of lengths": post(GOOD, b"content-length: 5, 5\r\n", length=False) + SECOND,
    "a length with a sign": post(GOOD, b"content-length: +%d\r\n" % len(GOOD), length=False) + SECOND,
    "a negative length": post(GOOD, b"content-length: -1\r\n", length=False) + SECOND,
    "a hexadecimal length": post(GOOD, b"content-length: 0x10\r\n", length=False) + SECOND,
    "a length of 30 digits": post(GOOD, b"content-length: " + b"9" * 30 + b"\r\n", length=False) + SECOND,
    "an empty length": post(GOOD, b"content-length: \r\n", length=False) + SECOND,
    "chunked twice": chunked(WHOLE_CHUNK + SECOND, b"transfer-encoding: chunked, chunked\r\n"),
    "two encodings": chunked(
        WHOLE_CHUNK + SECOND, b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n"
    ),
    "chunked and then another": chunked(WHOLE_CHUNK + SECOND, b"transfer-encoding: chunked, identity\r\n"),
    "an encoding nobody knows": chunked(WHOLE_CHUNK + SECOND, b"transfer-encoding: xchunked\r\n"),
    "a space before the colon": chunked(WHOLE_CHUNK + SECOND, b"transfer-encoding : chunked\r\n"),
    "a vertical tab": chunked(WHOLE_CHUNK + SECOND, b"transfer-encoding:\x0bchunked\r\n"),
    "chunk size: letters": chunked(b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n" + SECOND),
    "chunk size: negative": chunked(b"-1\r\n" + GOOD + b"\r\n0\r\n\r\n" + SECOND),
    "chunk size: 0x": chunked(b"0x10\r\n" + GOOD + b"\r\n0\r\n\r\n" + SECOND),
    "chunk size: 17 digits": chunked(b"F" * 17 + b"\r\n" + GOOD + b"\r\n0\r\n\r\n" + SECOND),
    "chunk size: none": chunked(b"\r\n" + GOOD + b"\r\n0\r\n\r\n" + SECOND),
    "chunk without its end": chunked(b"%x\r\n%bXX0\r\n\r\n" % (len(GOOD), GOOD) + SECOND),
    "chunk size ended by a line feed": chunked(b"%x\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD) + SECOND),
    "chunk extension with a line feed": chunked(b"%x;a\nb\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD) + SECOND),
}
"""Where one request ends must never be a matter of opinion."""

HEADS: dict[str, bytes] = {
    "line feeds alone": get(b"/healthz").replace(b"\r\n", b"\n"),
    "one line feed alone": b"GET /healthz HTTP/1.1\r\nhost: localhost\nx: y\r\n\r\n",
    "carriage return in a value": get(b"/healthz", HOST + b"x: a\rb\r\n"),
    "NUL in a value": get(b"/healthz", HOST + b"x: a\0b\r\n"),
    "NUL in a name": get(b"/healthz", HOST + b"x\0: a\r\n"),
    "NUL in the address": get(b"/health\0z"),
    "folded line": get(b"/healthz", HOST + b"x: a\r\n b\r\n"),
    "first line folded": b"GET /healthz HTTP/1.1\r\n host: localhost\r\n\r\n",
    "no colon": get(b"/healthz", HOST + b"nonsense\r\n"),
    "no name": get(b"/healthz", HOST + b": a\r\n"),
    "space in a name": get(b"/healthz", HOST + b"a b: c\r\n"),
    "no version": b"GET /healthz\r\n\r\n",
    "version 9.9": b"GET /healthz HTTP/9.9\r\nhost: localhost\r\n\r\n",
    "version 2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "method nobody knows": b"FOO /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "method in small letters": b"get /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    "two hosts": get(b"/log/exchanges", HOST + b"host: evil.example\r\n"),
    "two hosts, the other way": get(b"/log/exchanges", b"host: evil.example\r\n" + HOST),
    "no host": get(b"/log/exchanges", b"x: y\r\n"),
    "host with a path": get(b"/log/exchanges", b"host: localhost/?x=\r\n"),
    "host with a fragment": get(b"/log/exchanges", b"host: localhost#.evil.example\r\n"),
    "host with a user": get(b"/log/exchanges", b"host: localhost@evil.example\r\n"),
    "host with a letter for a port": get(b"/log/exchanges", b"host: localhost:x/\r\n"),
}
"""A head that is not HTTP, or that two readers may read differently."""

ADDRESSES: dict[str, bytes] = {
    "absolute, another's": get(b"http://evil.example/log/exchanges"),
    "absolute, ours": get(b"http://localhost/log/nothing"),
    "absolute without a path": get(b"http://localhost"),
    "authority": get(b"localhost:80"),
    "asterisk": get(b"*"),
    "two slashes": post(GOOD, path=b"//v1/chat/completions"),
    "three slashes": post(GOOD, path=b"/v1///chat/completions"),
    "a dot": post(GOOD, path=b"/v1/./chat/completions"),
    "an encoded dot": post(GOOD, path=b"/v1/%2e/chat/completions"),
    "up and down": post(GOOD, path=b"/v1/../v1/chat/completions"),
    "encoded up and down": post(GOOD, path=b"/static/%2e%2e/v1/chat/completions"),
    "out of the folder": get(b"/static/../../pyproject.toml"),
    "encoded out of the folder": get(b"/static/%2e%2e%2f%2e%2e%2fpyproject.toml"),
    "backslashes": get(b"/static/..\\..\\pyproject.toml"),
    "a slash at the end": post(GOOD, path=b"/v1/chat/completions/"),
    "an encoded slash": post(GOOD, path=b"/v1/chat%2fcompletions/"),
    "an encoded NUL": post(GOOD, path=b"/v1/chat/completions%00"),
    "an encoded line break": get(b"/v1/models/a%0d%0ax:%20y"),
    "bytes that are no text": get(b"/v1/models/%ff%fe"),
    "raw bytes": get(b"/v1/models/\xff\xfe"),
    "half an escape": get(b"/v1/models/%"),
    "a semicolon": post(GOOD, path=b"/v1/chat/completions;x=1"),
    "capital letters": post(GOOD, path=b"/V1/Chat/Completions"),
}
"""Ways to write an address that lead nowhere: what is not on the list is a 404."""

BOMB = gzip.compress(b" " * (64 * 2**20))
COMPRESSED: dict[str, bytes] = {
    **{
        f"content-encoding: {name}": b"content-encoding: %b\r\n" % name.encode()
        for name in (
            "gzip",
            "x-gzip",
            "GZIP",
            "deflate",
            "br",
            "zstd",
            "compress",
            "identity, gzip",
            "gzip, gzip",
        )
    },
    "transfer-encoding: gzip, chunked": b"transfer-encoding: gzip, chunked\r\n",
    "two content-encodings": b"content-encoding: identity\r\ncontent-encoding: gzip\r\n",
}
"""Headers of a body that would have to be unpacked."""

NESTED = 100_000


def asking(member: bytes) -> bytes:
    return b'{"messages":[{"role":"user","content":"hello"}],' + member + b"}"


def saying(content: bytes) -> bytes:
    return b'{"messages":[{"role":"user","content":' + content + b"}]}"


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "spaces": b" " * 1000,
    "half": GOOD[:20],
    "two documents": GOOD + GOOD,
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "bytes that are no text": saying(b'"\xff\xfe"'),
    "an encoded surrogate": saying(b'"\xed\xa0\x80"'),
    "a lone high surrogate": saying(b'"\\ud800"'),
    "a lone low surrogate": saying(b'"\\udc00 x"'),
    "surrogates the wrong way round": saying(b'"\\udc00\\ud800"'),
    "a raw line break in a text": saying(b'"a\nb"'),
    "a raw NUL in a text": saying(b'"a\0b"'),
    "a raw NUL between": b'{"messages":\0[]}',
    "deep arrays": b"[" * NESTED,
    "deep arrays that end": b"[" * NESTED + b"]" * NESTED,
    "deep objects": b'{"a":' * NESTED + b"1" + b"}" * NESTED,
    "deep content": saying(b"[" * NESTED + b"]" * NESTED),
    "deep in a member nobody knows": asking(b'"x":' + b"[" * NESTED + b"]" * NESTED),
    "deep metadata": asking(b'"metadata":{"a":' + b"[" * NESTED + b"]" * NESTED + b"}"),
    "deep response_format": asking(
        b'"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":'
        + b'{"a":' * NESTED
        + b"1"
        + b"}" * NESTED
        + b"}}"
    ),
    "1e400": asking(b'"temperature":1e400'),
    "-1e400": asking(b'"presence_penalty":-1e400'),
    "1e400 for a count": asking(b'"max_tokens":1e400'),
    "2^70": asking(b'"max_tokens":1180591620717411303424'),
    "2^70 for a seed": asking(b'"seed":1180591620717411303424'),
    "-2^70": asking(b'"n":-1180591620717411303424'),
    "a number of 100 000 digits": asking(b'"max_tokens":' + b"9" * 100_000),
    "a fraction of 100 000 digits": asking(b'"temperature":99.' + b"9" * 100_000),
    "NaN": asking(b'"temperature":NaN'),
    "Infinity": asking(b'"temperature":Infinity'),
    "a number with a zero before it": asking(b'"max_tokens":01'),
    "true for a number": asking(b'"max_tokens":true'),
    "a text for a number": asking(b'"max_tokens":"5"'),
    "null for messages": b'{"messages":null}',
    "an array": b"[]",
    "a text": b'"hello"',
    "a number": b"1",
    "null": b"null",
    "the same member twice, the last one bad": asking(b'"temperature":1,"temperature":"x"'),
    "messages twice, the last one bad": asking(b'"messages":5'),
    "a member named __proto__": asking(b'"__proto__":{"a":1}'),
    "an empty name": asking(b'"":1'),
    "a NUL in a name": asking(b'"temperature\\u0000":1'),
    "100 000 members": asking(b",".join(b'"x%d":1' % number for number in range(100_000))),
    "a comment": asking(b'"n":1/*x*/'),
    "a comma too many": asking(b'"n":1,'),
    "single quotes": GOOD.replace(b'"', b"'"),
}
"""Bodies that come as HTTP wants them and are not what the API wants."""
