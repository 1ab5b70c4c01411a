"""OpenAI's Responses and Conversations, made of exchanges."""
