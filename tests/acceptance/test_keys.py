"""A gateway that needs keys: who comes in, by which way, and to what."""

import json
import time

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.acceptance.gateway import Answer, Gateway, chat, read_until
from tests.acceptance.keys import Holder
from tests.fakes.engine import Script, ScriptedEngine

CHAT = "/v1/chat/completions"
LIVE = "/zephyr/ws/gpu-stats"
NONE = "sk-zephyr-" + "A" * 43
OPEN = {"/", "/healthz", "/readyz", "/docs", "/openapi.json", "/static/welcome.css"}


def assert_unauthorized(answer: Answer, said: str) -> None:
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    error = answer.error
    assert said in error.pop("message")
    assert error == {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"}


def test_the_sdk_comes_in_with_a_key(admin: Holder, keyed: Gateway, engine: ScriptedEngine) -> None:
    """And the engine learns nothing of it."""
    client = keyed.openai(admin.gives("sdk").key)
    answer = client.chat.completions.create(
        model="zephyr-7b-beta", messages=[{"role": "user", "content": "hello"}]
    )
    assert answer.choices[0].message.content
    assert "sk-zephyr" not in repr(engine.one())


@pytest.mark.parametrize("key", ["none", NONE, "x" * 20_000, "sk-zephyr-", "ключ".encode().decode("latin-1")])
def test_the_sdk_is_told_that_a_key_is_none(keyed: Gateway, engine: ScriptedEngine, key: str) -> None:
    """In the words of its own API, which do not repeat the key."""
    answer = keyed.post(CHAT, chat(), authorization=f"Bearer {key}")
    assert_unauthorized(answer, "Incorrect API key provided")
    assert key not in answer.body.decode()
    assert engine.seen == []
    if key.isascii():
        with pytest.raises(openai.AuthenticationError) as caught:
            keyed.openai(key).models.list()
        assert caught.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": ""}, {"authorization": "Basic YTpi"}, {"authorization": NONE}, {"x-api-key": " "}],
)
def test_without_a_key_nobody_comes_in(
    keyed: Gateway, engine: ScriptedEngine, headers: dict[str, str]
) -> None:
    """And is told how to send one."""
    assert_unauthorized(keyed.post(CHAT, chat(), **headers), "You didn't provide an API key")
    assert engine.seen == []


def test_no_address_but_those_on_the_list_is_open(keyed: Gateway) -> None:
    """All that is not there, and all that looks like an open one. `test_routes.py` has those that are there."""
    for path in (
        "/metrics",
        "/v1/x",
        "/redoc",
        "/static",
        "/healthz/",
        "//healthz",
        "/healthz/../v1/models",
    ):
        assert keyed.get(path).status == 401, path
    for path in OPEN:
        assert keyed.get(path).status == 200, path
    for path in ("/static/../v1/models", "/static%2f..%2fv1%2fmodels", "/static/../static/../../app.py"):
        assert keyed.get(path).status == 404, path
    assert keyed.get("/openapi.json").json["security"] == [{"key": []}, {"header": []}]


def test_a_key_comes_in_two_headers_and_as_one_key(admin: Holder, keyed: Gateway) -> None:
    """`x-api-key` is as good, and both may be the same; two that differ are nobody's."""
    one, other = admin.gives("one"), admin.gives("other")
    assert keyed.get("/v1/models", **{"x-api-key": one.key}).status == 200
    assert keyed.get("/v1/models", **{"x-api-key": one.key}, **one.headers).status == 200
    assert keyed.get("/v1/models", authorization=f"bearer  {one.key} ").status == 200
    several = keyed.get("/v1/models", **{"x-api-key": other.key}, **one.headers)
    assert (several.status, several.error["code"]) == (400, "several_api_keys")
    assert keyed.get(f"/v1/models?api_key={one.key}").status == 401


def test_a_page_opens_a_websocket_with_its_key_as_a_protocol(admin: Holder, keyed: Gateway) -> None:
    """And is answered with the protocol that is none; programs send the header."""
    address, holder = keyed.url.replace("http", "ws") + LIVE, admin.gives("page")
    protocols = [Subprotocol("zephyr"), Subprotocol(f"key.{holder.key}")]
    with connect(address, subprotocols=protocols) as socket:
        assert socket.subprotocol == "zephyr"
        assert json.loads(socket.recv(timeout=5))
    with connect(address, additional_headers=holder.headers) as socket:
        assert socket.subprotocol is None
        assert json.loads(socket.recv(timeout=5))
    for offered in ([Subprotocol("zephyr")], [Subprotocol("zephyr"), Subprotocol(f"key.{NONE}")]):
        with pytest.raises(InvalidStatus) as caught:
            connect(address, subprotocols=offered)
        assert caught.value.response.status_code == 401
        assert json.loads(caught.value.response.body or b"")["error"]["code"] == "invalid_api_key"
    with pytest.raises(InvalidStatus):
        connect(f"{address}?key={holder.key}")


def test_a_revoked_key_is_refused_within_a_second_and_its_stream_ends_well(
    admin: Holder, keyed: Gateway, engine: ScriptedEngine
) -> None:
    """What has begun goes on."""
    engine.script = Script(pieces=["word "] * 30, pause=0.05)
    holder = admin.gives("leaver")
    content = json.dumps(chat(stream=True)).encode()
    with keyed.connect() as one:
        one.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {holder.key}\r\ncontent-length: {len(content)}\r\n\r\n".encode()
            + content
        )
        read_until(one, b"word")
        assert admin.admin("DELETE", f"/admin/keys/{holder.id}").json["state"] == "revoked"
        began = time.monotonic()
        while holder.get("/v1/models").status != 401:
            assert time.monotonic() - began < 1.0
        assert b"[DONE]" in read_until(one, b"[DONE]")


def test_a_websocket_ends_with_its_key(admin: Holder, keyed: Gateway) -> None:
    """It would stay open for ever otherwise; another's goes on."""
    address, holder, other = (
        keyed.url.replace("http", "ws") + LIVE,
        admin.gives("leaver"),
        admin.gives("other"),
    )
    with (
        connect(address, additional_headers=holder.headers) as ending,
        connect(address, additional_headers=other.headers) as staying,
    ):
        ending.recv(timeout=5)
        admin.admin("DELETE", f"/admin/keys/{holder.id}")
        with pytest.raises(ConnectionClosed):
            for _ in range(5):
                ending.recv(timeout=5)
        for _ in range(3):
            staying.recv(timeout=5)


def test_a_page_that_may_call_can_read_that_it_needs_a_key(keyed: Gateway) -> None:
    """And is let send one."""
    origin = "http://localhost:8501"
    refused = keyed.post(CHAT, chat(), origin=origin)
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, origin)
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    allowed = keyed.request("OPTIONS", CHAT, None, asked)
    assert allowed.status == 200
    assert "authorization" in allowed.headers["access-control-allow-headers"]


def test_keys_stand_in_no_log(admin: Holder, keyed: Gateway, engine: ScriptedEngine) -> None:
    """Known, unknown, misspelt, in a header, a protocol or an address."""
    holder = admin.gives("logged")
    holder.post(CHAT, chat())
    keyed.post(CHAT, chat(), authorization=f"Bearer {NONE}")
    keyed.get(f"/v1/models?api_key={holder.key}")
    with pytest.raises(InvalidStatus):
        connect(keyed.url.replace("http", "ws") + LIVE, subprotocols=[Subprotocol(f"key.{NONE}")])
    for secret in (holder.key, admin.key, NONE):
        assert secret not in keyed.log_text
    assert "sk-zephyr" not in keyed.log_text


def test_the_welcome_page_shows_where_the_key_goes(keyed: Gateway, gateway: Gateway) -> None:
    """Only where one is needed."""
    cards = {card["path"]: card["example"] for card in keyed.get("/").json["endpoints"]}
    assert '-H "Authorization: Bearer $ZEPHYR_KEY"' in cards[CHAT]
    assert '["zephyr", "key." + key]' in cards[LIVE]
    assert "Bearer" not in gateway.get("/").body.decode()
