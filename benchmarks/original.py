"""The way of the API that this project replaces: a transformers pipeline behind FastAPI, one request at a time.

    .venv-engine/bin/python benchmarks/original.py MODEL_FOLDER PORT

Runs in the engine's environment, with the weights that vLLM serves, in float32. For comparison only.
"""

import sys
import threading
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Asked(BaseModel):
    """A request."""

    messages: list[dict[str, str]]
    max_tokens: int


def create_app(folder: str) -> FastAPI:
    """The API over one model."""
    app = FastAPI()
    generator: Any = pipeline("text-generation", model=folder, dtype="float32")
    one_at_a_time = threading.Lock()

    @app.post("/v1/chat/completions")
    def chat(asked: Asked) -> dict[str, Any]:
        prompt = generator.tokenizer.apply_chat_template(
            asked.messages, tokenize=False, add_generation_prompt=True
        )
        with one_at_a_time:
            (answer,) = generator(
                prompt, max_new_tokens=asked.max_tokens, do_sample=False, return_full_text=False
            )
        text: str = answer["generated_text"]
        tokens = len(generator.tokenizer(text, add_special_tokens=False)["input_ids"])
        return {"response": text, "usage": {"completion_tokens": tokens}}

    @app.get("/readyz")
    def ready() -> None:
        """It answers once the model is loaded."""

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), access_log=False, log_level="warning")
