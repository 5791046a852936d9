"""A thousand mixed calls, most by the two vendors' own clients, some of them broken off. Each call has a key of its own, and says what its
client could know of it: `exact` counts where it was told them, else what it received.

Given: keys and base addresses of each API, CALLS."""

import concurrent.futures
import json

import anthropic
import httpx
import openai

sizes = {}
encodings = set()


def note(request):
    key = request.headers["authorization"].removeprefix("Bearer ")
    sizes[key] = len(request.content)


def http():
    limits = httpx.Limits(max_connections=None)
    hooks = {"request": [note], "response": [lambda r: encodings.add(r.headers.get("content-encoding"))]}
    return httpx.Client(event_hooks=hooks, limits=limits, timeout=60)


o = openai.OpenAI(api_key="none", base_url=OPENAI, max_retries=0, http_client=http())
a = anthropic.Anthropic(api_key="none", base_url=ANTHROPIC, max_retries=0)
g = httpx.Client(timeout=60)


def chat_counts(usage):
    return {
        "input": usage.prompt_tokens,
        "cached": usage.prompt_tokens_details.cached_tokens,
        "cache_written": 0,
        "output": usage.completion_tokens,
        "reasoning": usage.completion_tokens_details.reasoning_tokens,
    }


def response_counts(usage):
    return {
        "input": usage.input_tokens,
        "cached": usage.input_tokens_details.cached_tokens,
        "cache_written": usage.input_tokens_details.cache_write_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.output_tokens_details.reasoning_tokens,
    }


def message_input(usage):
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    return {"input": usage.input_tokens + cached + written, "cached": cached, "cache_written": written}


def message_counts(usage):
    return {**message_input(usage), "output": usage.output_tokens, "reasoning": 0}


def text(number):
    words = f"call {number} " + "of many " * (number % 37)
    # The built-in upstream writes by the number of characters: a long answer where it is broken off.
    wanted = {chat_broken: 0, chat_broken_asking: 0, response_broken: 4, message_broken: 1}.get(KINDS[number % len(KINDS)])
    return words if wanted is None else words + "." * ((wanted - len(words)) % 12)


def chat(number, **more):
    key = OPENAI_KEYS.pop()
    messages = [{"role": "user", "content": text(number)}]
    made = o.with_options(api_key=key).chat.completions.create(model="gpt-4o", messages=messages, **more)
    return key, made


def chat_whole(number):
    key, made = chat(number)
    return {"key": key, "exact": chat_counts(made.usage)}


ASK = {"include_usage": True}


def chat_stream(number):
    key, made = chat(number, stream=True, stream_options=ASK)
    usage = [chunk.usage for chunk in made if chunk.usage]
    assert len(usage) == 1, usage
    return {"key": key, "exact": chat_counts(usage[0])}


def chat_silent(number):
    """A stream whose client does not ask: it sees no usage, and what it would be is known from asking at another time."""
    key, made = chat(number, stream=True)
    chunks = list(made)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks), chunks
    twin = chat_stream(number)
    return {"key": key, "exact": twin["exact"]}, twin


def broken(stream, is_text, most=3):
    """Takes some of a stream and goes; gives how much of what was written came."""
    received = 0
    for event in stream:
        received += is_text(event)
        if received == most:
            break
    stream.close()
    return received


def chat_broken(number, **more):
    key, made = chat(number, stream=True, **more)
    received = broken(made, lambda c: bool(c.choices and c.choices[0].delta.content))
    twin = chat_whole(number)
    known = {"input": sizes[key], "cached": 0, "cache_written": 0}
    return {"key": key, "received": received, "known": known, "full": twin["exact"]}, twin


def chat_broken_asking(number):
    return chat_broken(number, stream_options=ASK)


def response(number, **more):
    key = OPENAI_KEYS.pop()
    return key, o.with_options(api_key=key).responses.create(model="gpt-4o", input=text(number), **more)


def response_whole(number):
    key, made = response(number)
    return {"key": key, "exact": response_counts(made.usage)}


def response_stream(number):
    key, made = response(number, stream=True)
    last = [event for event in made if event.type == "response.completed"]
    return {"key": key, "exact": response_counts(last[0].response.usage)}


def response_broken(number):
    key, made = response(number, stream=True)
    received = broken(made, lambda event: event.type == "response.output_text.delta")
    twin = response_whole(number)
    known = {"input": sizes[key], "cached": 0, "cache_written": 0}
    return {"key": key, "received": received, "known": known, "full": twin["exact"]}, twin


def embedding(number):
    key = OPENAI_KEYS.pop()
    client = o.with_options(api_key=key)
    made = client.embeddings.create(model="text-embedding-3-small", input=text(number))
    exact = {"input": made.usage.prompt_tokens, "cached": 0, "cache_written": 0, "output": 0, "reasoning": 0}
    return {"key": key, "exact": exact}


def message(number, **more):
    key = ANTHROPIC_KEYS.pop()
    messages = [{"role": "user", "content": text(number)}]
    client = a.with_options(api_key=key)
    return key, client.messages.create(model="claude-sonnet-4-6", max_tokens=64, messages=messages, **more)


def message_whole(number):
    key, made = message(number)
    return {"key": key, "exact": message_counts(made.usage)}


def message_stream(number):
    key, made = message(number, stream=True)
    exact = {"reasoning": 0}
    for event in made:
        if event.type == "message_start":
            exact.update(message_input(event.message.usage))
        if event.type == "message_delta":
            exact["output"] = event.usage.output_tokens
    return {"key": key, "exact": exact}


def message_broken(number):
    key, made = message(number, stream=True)
    known = {}

    def is_text(event):
        if event.type == "message_start":
            known.update(message_input(event.message.usage))
        return event.type == "content_block_delta"

    received = broken(made, is_text)
    twin = message_whole(number)
    return {"key": key, "received": received, "known": known, "full": twin["exact"]}, twin


def gemini_counts(usage):
    return {
        "input": usage["promptTokenCount"],
        "cached": usage["cachedContentTokenCount"],
        "cache_written": 0,
        "output": usage["candidatesTokenCount"] + usage["thoughtsTokenCount"],
        "reasoning": usage["thoughtsTokenCount"],
    }


def generate(number, method):
    key = GEMINI_KEYS.pop()
    body = {"contents": [{"parts": [{"text": text(number)}]}]}
    answer = g.post(f"{GEMINI}/v1beta/models/a-model:{method}", json=body, headers={"x-goog-api-key": key})
    assert answer.status_code == 200, answer.text
    return key, answer


def gemini_whole(number):
    key, answer = generate(number, "generateContent")
    return {"key": key, "exact": gemini_counts(answer.json()["usageMetadata"])}


def gemini_stream(number):
    key, answer = generate(number, "streamGenerateContent?alt=sse")
    last = [line.removeprefix("data: ") for line in answer.text.splitlines() if line][-1]
    return {"key": key, "exact": gemini_counts(json.loads(last)["usageMetadata"])}


def gemini_list(number):
    """Without being asked for events, a stream is one list."""
    key, answer = generate(number, "streamGenerateContent")
    return {"key": key, "exact": gemini_counts(answer.json()[-1]["usageMetadata"])}


KINDS = [
    chat_whole, chat_stream, chat_silent, chat_broken, chat_broken_asking, response_whole, response_stream,
    response_broken, embedding, message_whole, message_stream, message_broken, gemini_whole, gemini_stream,
    gemini_list,
]


def call(number):
    made = KINDS[number % len(KINDS)](number)
    return list(made) if isinstance(made, tuple) else [made]


calls = []
with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
    for made in pool.map(call, range(CALLS)):
        calls += made

# Where usage is to be taken out of a stream, it comes uncompressed; else as the client takes it.
assert encodings == {None, "gzip"}, encodings
