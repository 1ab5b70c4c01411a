"""What vLLM itself would take from anybody: where it listens, and which fields it knows."""

import ipaddress
import json
import os
import subprocess

import msgspec
import pytest

from adapters.access.reading import read
from adapters.completions.requests import ChatRequest, CompletionRequest
from adapters.errors import InvalidRequest
from serving.settings import Settings
from tests.engine.engines import RealEngine
from tests.listening import family, listening

pytestmark = pytest.mark.engine

FIELDS = """
import json
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
print("\\n" + json.dumps([list(one.model_fields) for one in (ChatCompletionRequest, CompletionRequest)]))
"""
WITHOUT_EFFECT = {"store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"}
"""Fields of OpenAI's that we take and vLLM does not know."""


def test_the_engine_listens_to_this_machine_alone(smollm2_engine: RealEngine) -> None:
    """Its API is a unix socket. What its processes need among themselves is on the loopback."""
    found = listening(family(os.getpid()))
    outward = [one for one in found if not ipaddress.ip_address(one[0]).is_loopback]
    assert found
    assert outward == []


def test_every_field_that_vllm_knows_and_we_do_not_is_refused_by_name() -> None:
    """Also those that a later version brings."""
    python = str(Settings().engine_python)  # type: ignore[call-arg]  # all of it has defaults
    done = subprocess.run([python, "-c", FIELDS], capture_output=True, text=True, check=True)
    known: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    for request_type, fields in zip((ChatRequest, CompletionRequest), known, strict=True):
        assert len(fields) > 40
        assert {"priority", "cache_salt", "request_id", "kv_transfer_params"} <= set(fields)
        decoder = msgspec.json.Decoder(request_type)
        ours = set(request_type.__struct_fields__)
        assert ours - WITHOUT_EFFECT <= set(fields)
        for field in set(fields) - ours:
            with pytest.raises(InvalidRequest) as caught:
                read(decoder, json.dumps({field: 1}).encode())
            assert (caught.value.param, caught.value.code) == (field, "unknown_parameter")
