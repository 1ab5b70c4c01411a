"""A relay as one writes it on the first day: FastAPI routes over the openai SDK. For comparison only.

python -m benchmarks.naive_relay PORT ENGINE_URL
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI


def create_app(engine_url: str) -> FastAPI:
    """The relay in front of one engine."""
    app = FastAPI()
    client = AsyncOpenAI(base_url=f"{engine_url}/v1", api_key="none")

    @app.post("/v1/chat/completions")
    async def chat(body: dict[str, Any]) -> Response:
        if body.get("stream"):
            return StreamingResponse(events(body), media_type="text/event-stream")
        completion = await client.chat.completions.create(**body)
        return Response(completion.model_dump_json(), media_type="application/json")

    async def events(body: dict[str, Any]) -> AsyncIterator[str]:
        async for chunk in await client.chat.completions.create(**body):
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[2]), port=int(sys.argv[1]), access_log=False, log_level="warning")
