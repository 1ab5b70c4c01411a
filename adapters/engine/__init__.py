"""Talking to vLLM's OpenAI server over HTTP."""
