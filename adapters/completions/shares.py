"""What the engine is told of a request beside what the client asks for: how it shares the engine with others."""

from functools import lru_cache
from hashlib import sha256

from adapters.access.callers import LOCAL


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
