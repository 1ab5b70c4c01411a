"""What the engine is told of a request beside what the client asks for: how it shares the engine with others."""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256

import msgspec

from adapters.access.callers import LOCAL
from adapters.completions.requests import ChatRequest, Request
from adapters.conversations.naming import Naming

_BEGINNING = 256
"""Characters of a prompt that say which other prompts begin alike."""
_encoder = msgspec.json.Encoder()


def with_share(body: bytes, tenant: str, priority: int) -> bytes:
    """The encoded request with vLLM's `priority`, and with the `cache_salt` of its tenant. Clients can set neither."""
    return b'%b,"priority":%d%b}' % (body[:-1], priority, _salt(tenant))


@lru_cache(4096)
def _salt(tenant: str) -> bytes:
    """vLLM reuses a prefix only for the same salt. It is no secret: nobody but the gateway names one to the engine.

    The local tenant is the only one without, so that it too is alone.
    """
    if tenant == LOCAL.tenant:
        return b""
    return b',"cache_salt":"%b"' % sha256(b"zephyr-tenant-1 " + tenant.encode()).hexdigest().encode()


def session(tenant: str, request: Request) -> bytes:
    """What a router keeps a conversation at one engine by: how it began, and whose it is (decision 25).

    Requests that go on with a conversation repeat its beginning, so that every gateway says the same of them without
    asking anybody. Tenants share no prefix at an engine, and so need not share the engine.
    """
    naming = Naming(b"zephyr-session-1").add(tenant.encode())
    for part in _beginning(request):
        naming.add(part)
    return naming.name().hex.encode()


def _beginning(request: Request) -> Iterator[bytes]:
    """Up to the first thing that a user says: what many conversations have in common keeps none of them together."""
    if not isinstance(request, ChatRequest):
        prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
        yield prompt[:_BEGINNING].encode(errors="surrogatepass")
        return
    for message in request.messages:
        yield _encoder.encode(message)
        if message.role == "user":
            return
