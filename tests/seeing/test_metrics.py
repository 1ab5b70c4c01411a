"""The figures move with what they tell of, and tell nothing else."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from adapters.conversations.exchange import Outcome
from adapters.errors import GatewayError
from tests.acceptance.gateway import chat, read_until
from tests.fakes.engine import Script
from tests.overload.stand import Stand
from tests.seeing.conftest import SECRET
from tests.seeing.pages import Figures

LONGEST_SECONDS = 5.0


def value(parts: Stand, series: str) -> float:
    """A figure now; 0 where it is not told."""
    page = parts.gateway.admin("GET", "/metrics").body.decode()
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def becomes(parts: Stand, series: str, wanted: float) -> None:
    """Wait until a figure is what is wanted."""
    limit = time.monotonic() + LONGEST_SECONDS
    while (last := value(parts, series)) != wanted:
        assert time.monotonic() < limit, f"{series} is still {last}"
        time.sleep(0.02)


def exchanges(outcome: str, endpoint: str = "/v1/chat/completions") -> str:
    door = "zephyr" if endpoint.startswith("/zephyr") else "openai"
    return f'zephyr_exchanges_total{{door="{door}",endpoint="{endpoint}",outcome="{outcome}"}}'


def test_every_exchange_is_counted_once_as_what_it_became(seen_stand: Stand) -> None:
    """With its tokens, its time to the first token where it streams, and its time in all where it is whole."""
    engine, gateway = seen_stand.engine, seen_stand.gateway
    series = (
        exchanges("completed"),
        exchanges("completed", "/zephyr/structured-code-doc"),
        exchanges("length"),
        exchanges("failed"),
        exchanges("client_gone"),
        'zephyr_first_token_seconds_count{door="openai"}',
        'zephyr_exchange_seconds_count{door="openai"}',
        'zephyr_errors_total{code="engine_failed",status="503"}',
        "zephyr_completion_tokens_total",
        "zephyr_cached_prompt_tokens_total",
    )
    before = [value(seen_stand, one) for one in series]
    engine.scripts |= {
        "long": Script(finish_reason="length", cached_tokens=3),
        "broken": Script(stop_after=2, ending="reset"),
        "slow": Script(pieces=("word ",) * 1000, pause=0.02),
    }
    gateway.post("/v1/chat/completions", chat())
    gateway.post("/v1/chat/completions", chat("long"))
    gateway.post("/v1/chat/completions", chat("broken", stream=True))
    with gateway.send(chat("slow", stream=True)) as one:
        read_until(one, b"word ")
    becomes(seen_stand, exchanges("client_gone"), before[4] + 1)
    told = value(seen_stand, "zephyr_completion_tokens_total") - before[-2]
    document = {"user_message": "def f(): pass", "max_new_tokens": 600}
    assert gateway.post("/zephyr/structured-code-doc", document).status == 200
    after = [value(seen_stand, one) for one in series]
    gained = [now - then for now, then in zip(after, before, strict=True)]
    assert gained[:8] == [1, 1, 1, 1, 1, 2, 2, 1]
    assert told >= 8  # of the two whole answers; the engine counts the others' as well, where it is asked
    assert gained[-1] == 3


def test_waiting_is_told_while_it_lasts_and_when_it_is_over(seen_stand: Stand) -> None:
    """One place at the engine, three who want it: two wait, and how long they did is told."""
    engine = seen_stand.engine
    engine.scripts["held"] = Script(silence=0.3)
    before = value(seen_stand, "zephyr_queue_wait_seconds_count")
    quick = value(seen_stand, 'zephyr_queue_wait_seconds_bucket{le="0.1"}')
    with ThreadPoolExecutor(3) as clients:
        for _ in range(3):
            clients.submit(seen_stand.gateway.post, "/v1/chat/completions", chat("held"))
        becomes(seen_stand, "zephyr_generations_waiting", 2)
        assert value(seen_stand, "zephyr_generations_open") == 3
    becomes(seen_stand, "zephyr_generations_open", 0)
    assert value(seen_stand, "zephyr_queue_wait_seconds_count") - before == 3
    assert value(seen_stand, 'zephyr_queue_wait_seconds_bucket{le="0.1"}') - quick == 1


def test_refusals_are_counted_by_their_codes(seen_stand: Stand) -> None:
    """What no client was told is not counted: Prometheus may ask for an engine that is away as often as it likes."""
    gateway = seen_stand.gateway
    wrong = 'zephyr_errors_total{code="invalid_value",status="400"}'
    nowhere = 'zephyr_errors_total{code="unknown_url",status="404"}'
    before = value(seen_stand, wrong), value(seen_stand, nowhere)
    gateway.post("/v1/chat/completions", chat(temperature=9))
    gateway.get("/nowhere/at/all?x=1")
    assert (value(seen_stand, wrong), value(seen_stand, nowhere)) == (before[0] + 1, before[1] + 1)


def test_engine_that_goes_and_hangs_is_told(seen_stand: Stand) -> None:
    """And its own page is passed on while it is there."""
    engine, gateway = seen_stand.engine, seen_stand.gateway
    away = 'zephyr_errors_total{code="engine_unavailable",status="503"}'
    gone = value(seen_stand, 'zephyr_engine_lost_total{how="gone"}')
    hung = value(seen_stand, 'zephyr_engine_lost_total{how="hangs"}')
    page = gateway.admin("GET", "/engine/metrics")
    assert page.status == 200 and b"vllm:num_requests_running" in page.body
    told = value(seen_stand, away)
    engine.stop()
    becomes(seen_stand, "zephyr_engine_ready", 0)
    assert value(seen_stand, "zephyr_engine_silent_seconds") == 0
    assert gateway.admin("GET", "/engine/metrics").status == 503
    assert value(seen_stand, away) == told
    engine.start()
    becomes(seen_stand, "zephyr_engine_ready", 1)
    engine.hangs = True
    becomes(seen_stand, "zephyr_engine_hangs", 1)
    assert value(seen_stand, "zephyr_engine_ready") == 0
    assert value(seen_stand, "zephyr_engine_silent_seconds") >= 1
    engine.hangs = False
    becomes(seen_stand, "zephyr_engine_ready", 1)
    assert value(seen_stand, 'zephyr_engine_lost_total{how="gone"}') == gone + 1
    assert value(seen_stand, 'zephyr_engine_lost_total{how="hangs"}') == hung + 1


def test_labels_have_bounds_and_tell_nothing_of_a_client(seen_stand: Stand) -> None:
    """Whatever is sent, in whichever place, no new series comes of it but for our own codes."""
    gateway = seen_stand.gateway
    for path in (
        f"/{SECRET.replace(' ', '-')}",
        "/v1/chat/completions",
        "/zephyr/python",
        "/v1/models/secret",
    ):
        gateway.post(path, chat(SECRET, user=SECRET, model=SECRET), authorization=f"Bearer sk-{SECRET}")
        gateway.get(path, **{"x-api-key": SECRET, "x-request-id": SECRET})
    gateway.post("/v1/chat/completions", chat(SECRET))
    page = gateway.admin("GET", "/metrics").body.decode()
    assert "secret" not in page
    outcomes = set(re.findall(r'outcome="(.*?)"', page))
    assert outcomes <= {outcome.value for outcome in Outcome}
    assert set(re.findall(r'code="(.*?)"', page)) <= codes()
    doors = set(re.findall(r'door="(.*?)"', page))
    assert doors == {"openai", "zephyr"}


def test_every_family_is_explained_and_has_a_unit(captured: Figures, seen_stand: Stand) -> None:
    """Prometheus' own rules for names: a prefix, base units, `_total` for what is counted."""
    page = seen_stand.gateway.admin("GET", "/metrics").body.decode()
    for name, kind in re.findall(r"^# TYPE (zephyr_\w+) (\w+)$", page, re.MULTILINE):
        assert re.search(rf"^# HELP {name} \S.{{15,}}$", page, re.MULTILINE), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind != "histogram" or name.endswith("_seconds"), name
        assert not re.search(r"_(ms|milliseconds|percent|mib|minutes)\b", name), name
    assert "zephyr_keys_up" in captured.series
    assert "zephyr_keys_up" not in page  # where none are needed there is nothing to look up


def codes() -> set[str]:
    """Every code of an error that this source has a class for, or gives where it raises one."""
    given = {"invalid_value", "unknown_url", "invalid_json", "unknown_parameter", "missing_parameter"}
    return given | {one.code or one.type for one in _all(GatewayError)}


def _all(error: type[GatewayError]) -> set[type[GatewayError]]:
    return {error}.union(*(_all(one) for one in error.__subclasses__()))
