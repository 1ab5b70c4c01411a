"""A chain of LangChain's that streams (pip install langchain-openai)."""

import os

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

url, key = os.environ.get("ZEPHYR_URL", "http://localhost:8000"), os.environ.get("ZEPHYR_KEY", "none")

model = ChatOpenAI(model="zephyr-7b-beta", base_url=f"{url}/v1", api_key=key)
prompt = ChatPromptTemplate.from_messages([("system", "You answer in one sentence."), ("user", "{question}")])
chain = prompt | model | StrOutputParser()
for piece in chain.stream({"question": "What is a list comprehension?"}):
    print(piece, end="", flush=True)
print()
