"""Every address of both listeners, and the scope that it needs. One that is not listed here fails a test."""

from collections.abc import Iterator
from typing import Any

OPEN = "nothing"
ANY_KEY = "any key"
NOBODY_OR_OVERSEER = "no key, or read_all"
_CHAT = "/v1/chat/completions"
_RESPONSES = "/v1/responses"
_CONVERSATIONS = "/v1/conversations"

FIRST: dict[tuple[str, str], str] = {
    ("GET", "/"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("FILES", "/static"): OPEN,
    ("FILES", "/chat/assets"): OPEN,
    ("GET", "/chat"): OPEN,
    ("GET", "/chat/"): OPEN,
    ("GET", "/v1/models"): ANY_KEY,
    ("GET", "/v1/models/{model:path}"): ANY_KEY,
    ("GET", "/zephyr/gpu-stats"): ANY_KEY,
    ("WS", "/zephyr/ws/gpu-stats"): ANY_KEY,
    ("POST", _CHAT): "generate",
    ("POST", "/v1/completions"): "generate",
    ("GET", _CHAT): "read",
    ("GET", f"{_CHAT}/{{completion_id}}"): "read",
    ("POST", f"{_CHAT}/{{completion_id}}"): "generate",
    ("DELETE", f"{_CHAT}/{{completion_id}}"): "generate",
    ("GET", f"{_CHAT}/{{completion_id}}/messages"): "read",
    ("POST", _RESPONSES): "generate",
    ("POST", f"{_RESPONSES}/input_tokens"): "generate",
    ("GET", f"{_RESPONSES}/{{response_id}}"): "read",
    ("DELETE", f"{_RESPONSES}/{{response_id}}"): "generate",
    ("POST", f"{_RESPONSES}/{{response_id}}/cancel"): "generate",
    ("GET", f"{_RESPONSES}/{{response_id}}/input_items"): "read",
    ("GET", _CONVERSATIONS): "read",
    ("POST", _CONVERSATIONS): "generate",
    ("GET", f"{_CONVERSATIONS}/{{conversation_id}}"): "read",
    ("POST", f"{_CONVERSATIONS}/{{conversation_id}}"): "generate",
    ("DELETE", f"{_CONVERSATIONS}/{{conversation_id}}"): "generate",
    ("GET", f"{_CONVERSATIONS}/{{conversation_id}}/items"): "read",
    ("POST", f"{_CONVERSATIONS}/{{conversation_id}}/items"): "generate",
    ("GET", f"{_CONVERSATIONS}/{{conversation_id}}/items/{{item_id}}"): "read",
    ("DELETE", f"{_CONVERSATIONS}/{{conversation_id}}/items/{{item_id}}"): "generate",
    ("POST", "/log/conversations/{id}"): "generate",
    ("DELETE", "/log/conversations/{id}"): "generate",
    ("GET", "/log/exchanges"): "read",
    ("GET", "/log/exchanges/{id}"): "read",
    ("DELETE", "/log/exchanges/{id}"): "generate",
    ("POST", "/log/exchanges/{id}/feedback"): "feedback",
    ("GET", "/log/search"): "read",
    ("GET", "/log/status"): "read_all",
    ("POST", "/zephyr/code-doc"): "generate",
    ("POST", "/zephyr/python"): "generate",
    ("POST", "/zephyr/raw"): "generate",
    ("POST", "/zephyr/structured-code-doc"): "generate",
    ("POST", "/zephyr/system-message"): "generate",
}
"""Of a gateway that needs keys."""

WITHOUT_KEYS = {("GET", "/metrics"): OPEN}
"""What one that needs none has as well."""

SECOND: dict[tuple[str, str], str] = {
    ("GET", "/metrics"): OPEN,
    ("GET", "/engine/metrics"): OPEN,
    ("GET", "/log/status"): NOBODY_OR_OVERSEER,
    ("GET", "/queue/status"): NOBODY_OR_OVERSEER,
    ("GET", "/zephyr/gpu-stats"): OPEN,
    ("GET", "/admin/keys"): "admin",
    ("POST", "/admin/keys"): "admin",
    ("GET", "/admin/keys/{id}"): "admin",
    ("DELETE", "/admin/keys/{id}"): "admin",
    ("POST", "/admin/keys/{id}/rotate"): "admin",
    ("GET", "/admin/tenants/{name}"): "admin",
    ("PUT", "/admin/tenants/{name}"): "admin",
}

VLLM = """
GET /load /version /kv_event_sources /health /ping /redoc /server_info /is_sleeping /is_paused /v1/realtime
GET /v1/responses/resp_00000000000000000000000000000000 /docs/oauth2-redirect
POST /tokenize /detokenize /v1/systemone /ping /invocations /v1/chat/completions/batch /v1/messages
POST /v1/messages/count_tokens /generative_scoring /scale_elastic_ep /is_scaling_elastic_ep
POST /v1/chat/completions/render /v1/completions/render /v1/messages/render /v1/responses/render
POST /v1/chat/completions/derender /v1/completions/derender /inference/v1/generate /inference/v1/abort_requests
POST /v1/responses/resp_00000000000000000000000000000000/cancel
POST /sleep /wake_up /release_kv_cache_memory /reset_prefix_cache /reset_mm_cache /reset_encoder_cache
POST /collective_rpc /pause /resume /abort_requests /v1/load_lora_adapter /v1/unload_lora_adapter /start_profile
POST /stop_profile /v1/embeddings /pooling /classify /score /v1/score /rerank /v1/rerank /v2/rerank
POST /v1/audio/transcriptions /v1/audio/translations /update_weights /init_weights_update_group /get_world_size
"""
"""What vLLM 0.32 answers itself, in its ways of being started, where the gateway has nothing at the same address."""


def vllms() -> Iterator[tuple[str, str]]:
    """Its routes."""
    for line in VLLM.split("\n"):
        method, _, paths = line.partition(" ")
        yield from ((method, path) for path in paths.split())


def found(application: Any) -> set[tuple[str, str]]:
    """Every route behind an application of ours; a folder of files as one."""
    routes = {("POST", path) for path in getattr(application, "_doors", ())}
    for inner in ("_app", "app", "_rest"):
        if hasattr(application, inner):
            routes |= found(getattr(application, inner))
    return routes | set(_of_framework(application))


def _of_framework(router: Any) -> Iterator[tuple[str, str]]:
    for route in getattr(router, "routes", ()):
        if hasattr(route, "original_router"):
            yield from _of_framework(route.original_router)
        elif hasattr(getattr(route, "app", None), "directory"):
            yield "FILES", route.path
        else:
            methods: set[str] = getattr(route, "methods", None) or {"WS"}
            yield from ((method, route.path) for method in methods - {"HEAD"})
