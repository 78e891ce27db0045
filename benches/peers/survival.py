"""What is left of live calls when a call server is killed: a provider that stays, and counts.

Calls are offered by signed webhooks, accepted, and asked for a tool once. Then whoever started this program kills the
server and starts it again. The provider keeps every call, as a vendor does: the caller's leg knows nothing of a
sideband. A call whose sideband comes back is asked for the tool again.

It is the same program for every server. It prints `up`, reads how many seconds after the kill the server answered
again, and prints what it saw as JSON.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
from typing import Any

import uvicorn
from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect

USAGE = {
    "total_tokens": 62, "input_tokens": 56, "output_tokens": 6,
    "input_token_details": {"text_tokens": 44, "audio_tokens": 12, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 2, "audio_tokens": 4},
}
SAYS = "Sakura Shop, good morning."
TOOL = "lookup_customer"
# What its answer must have in it: an order of the customer who calls.
ORDER = "A-1001"

app = FastAPI()


class Call:
    """A call that is up as long as this program runs."""

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.accepted = 0
        self.attached = 0
        self.socket: WebSocket | None = None
        self.numbers = 0
        self.asked: set[str] = set()
        self.answered: dict[str, float] = {}
        self.greeted = asyncio.Event()

    def next(self) -> int:
        self.numbers += 1
        return self.numbers

    async def send(self, *events: dict[str, Any]) -> None:
        for event in events:
            if self.socket is not None:
                await self.socket.send_text(json.dumps({"event_id": f"event_{self.next()}", **event}))

    async def turn(self, item: dict[str, Any], metadata: Any) -> None:
        """A turn of the model's that has this one item."""
        turn = f"resp_{self.id}_{self.next()}"
        response = {"object": "realtime.response", "id": turn, "status_details": None, "conversation_id": "conv",
                    "output_modalities": ["audio"], "max_output_tokens": "inf", "metadata": metadata}
        first = {**response, "status": "in_progress", "output": [], "usage": None}
        at = {"response_id": turn, "output_index": 0}
        done = {"id": f"item_{self.next()}", "object": "realtime.item", "status": "completed", **item}
        begun = {**done, "status": "in_progress", **({"content": []} if "content" in done else {"arguments": ""})}
        last = {**response, "status": "completed", "output": [done], "usage": USAGE}
        events = [
            {"type": "response.created", "response": first},
            {"type": "response.output_item.added", **at, "item": begun},
            {"type": "conversation.item.added", "previous_item_id": None, "item": begun},
            {"type": "conversation.item.done", "previous_item_id": None, "item": done},
            {"type": "response.output_item.done", **at, "item": done},
            {"type": "response.done", "response": last},
        ]
        if done["type"] == "function_call":
            words = {key: done[key] for key in ("call_id", "name", "arguments")}
            events.insert(3, {"type": "response.function_call_arguments.done", **at, "item_id": done["id"], **words})
        else:
            part = {"item_id": done["id"], "content_index": 0, "transcript": SAYS}
            events.insert(3, {"type": "response.output_audio_transcript.done", **at, **part})
            events.insert(3, {"type": "output_audio_buffer.started", "response_id": turn})
            events.append({"type": "output_audio_buffer.stopped", "response_id": turn})
        await self.send(*events)

    async def ask(self) -> str:
        """The model calls the tool."""
        asked = f"call_{self.id}_{self.next()}"
        self.asked.add(asked)
        await self.turn({"type": "function_call", "name": TOOL, "call_id": asked, "arguments": "{}"}, None)
        return asked

    async def hear(self, command: dict[str, Any]) -> None:
        """The server says something."""
        match command.get("type"):
            case "session.update":
                await self.send({"type": "session.updated", "session": session(self.id)})
            case "conversation.item.create":
                more = {"id": f"item_{self.next()}", "object": "realtime.item", "status": "completed"}
                item = {**more, **command["item"]}
                await self.send(*({"type": f"conversation.item.{what}", "previous_item_id": None, "item": item}
                                  for what in ("added", "done")))
                asked = item.get("call_id")
                if asked in self.asked and ORDER in item.get("output", ""):
                    self.answered.setdefault(asked, time.monotonic())
            case "response.create":
                metadata = (command.get("response") or {}).get("metadata")
                content = [{"type": "output_audio", "transcript": SAYS}]
                await self.turn({"type": "message", "role": "assistant", "content": content}, metadata)
                self.greeted.set()


calls: dict[str, Call] = {}


def session(call_id: str) -> dict[str, Any]:
    return {
        "type": "realtime", "object": "realtime.session", "id": f"sess_{call_id}",
        "expires_at": int(time.time()) + 3600, "output_modalities": ["audio"],
        "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "auto", "create_response": True,
                                               "interrupt_response": True}},
                  "output": {"voice": "marin", "speed": 1}},
    }


@app.get("/v1/models")
async def models() -> dict[str, Any]:
    return {"object": "list", "data": []}


@app.post("/v1/realtime/calls/{call_id}/{verb}")
async def act(call_id: str, verb: str) -> Response:
    call = calls.get(call_id)
    if call is None or verb not in ("accept", "hangup"):
        return refusal(404, "call_id_not_found")
    if verb == "hangup":
        calls.pop(call_id)
        return Response()
    call.accepted += 1
    return Response() if call.accepted == 1 else refusal(409, "decision_already_made")


def refusal(status: int, code: str) -> Response:
    error = {"message": code, "type": "invalid_request_error", "param": None, "code": code}
    return Response(json.dumps({"error": error}), status_code=status, media_type="application/json")


@app.websocket("/v1/realtime")
async def sideband(socket: WebSocket, call_id: str) -> None:
    call = calls.get(call_id)
    if call is None or not call.accepted:
        await socket.close()  # before it is accepted: the handshake is refused
        return
    await socket.accept()
    call.socket = socket
    call.attached += 1
    try:
        await call.send(
            {"type": "session.created", "session": session(call_id)},
            {"type": "conversation.created", "conversation": {"id": "conv", "object": "realtime.conversation"}},
        )
        while True:
            await call.hear(json.loads(await socket.receive_text()))
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        if call.socket is socket:
            call.socket = None


def offer(url: str, call_id: str) -> None:
    """Sends the signed webhook (Standard Webhooks, "Signature scheme")."""
    headers = [{"name": "From", "value": "<sip:+819012345678@sip.example.com>;tag=1"},
               {"name": "To", "value": "<sip:+815012345678@sip.api.openai.com>"},
               {"name": "Call-ID", "value": f"{call_id}@0.0.0.0"}]
    now = int(time.time())
    body = json.dumps({"object": "event", "id": f"evt_{call_id}", "type": "realtime.call.incoming", "created_at": now,
                       "data": {"call_id": call_id, "sip_headers": headers}})
    key = base64.b64decode(os.environ["OPENAI_WEBHOOK_SECRET"].removeprefix("whsec_"))
    mac = hmac.new(key, f"wh_{call_id}.{now}.{body}".encode(), hashlib.sha256).digest()
    request = urllib.request.Request(url, body.encode(), {
        "content-type": "application/json", "webhook-id": f"wh_{call_id}", "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    })
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        answer.read()


async def until(is_so: Any, seconds: float) -> bool:
    """Waits until something is so, at most that long."""
    limit = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(0.02)
    return True


async def play(arguments: argparse.Namespace) -> None:
    run = f"{time.time_ns():x}"
    all_calls = [Call(f"rtc_{run}_{n}") for n in range(arguments.calls)]
    for call in all_calls:
        calls[call.id] = call
        await asyncio.to_thread(offer, arguments.webhook, call.id)
    await until(lambda: all(call.greeted.is_set() for call in all_calls), 30)
    first = {call.id: await call.ask() for call in all_calls}
    await until(lambda: all(first[call.id] in call.answered for call in all_calls), 30)
    seen: dict[str, Any] = {
        "calls": len(all_calls),
        "answered_before": sum(first[call.id] in call.answered for call in all_calls),
    }
    # What a turn still brings must not be lost with the server: it is not what is measured.
    await asyncio.sleep(1)
    print("up", flush=True)
    down_seconds = float(await asyncio.to_thread(sys.stdin.readline))
    killed = time.monotonic() - down_seconds

    async def again(call: Call) -> float | None:
        if not await until(lambda: call.attached > 1 and call.socket is not None, arguments.patience):
            return None
        asked = await call.ask()
        await until(lambda: asked in call.answered, 10)
        return call.answered.get(asked)

    answered = [at for at in await asyncio.gather(*map(again, all_calls)) if at is not None]
    seen |= {
        "sidebands_back": sum(call.attached > 1 for call in all_calls),
        "answered_after": len(answered),
        "last_answered_after_seconds": round(max(answered) - killed, 3) if answered else None,
        "down_seconds": down_seconds,
    }
    print(json.dumps(seen), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--webhook", required=True, help="where the server takes webhooks")
    parser.add_argument("--port", type=int, required=True, help="where this provider listens")
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--patience", type=float, default=15, help="how long a sideband may stay away, in seconds")
    arguments = parser.parse_args()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=arguments.port, log_level="error"))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started, 30)
    try:
        await play(arguments)
    finally:
        calls.clear()
        server.should_exit = server.force_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


if __name__ == "__main__":
    asyncio.run(main())
