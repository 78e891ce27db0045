"""The call server that is commonly built in Python: FastAPI, the `openai` SDK and `openai-agents`.

A signed webhook comes in, the call is accepted, and a realtime session of the SDK is attached to it by its call id. The
session runs the tool and asks the model to go on. Calls live in this process's memory and nowhere else.

`WEB_CONCURRENCY=2 uvicorn server:app --port 8000`; the environment is that of `switchboard load --print-env`.
"""

import asyncio
import logging
import os
import re
from dataclasses import dataclass
from typing import Any

from agents import RunContextWrapper, function_tool
from agents.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeModelSendRawMessage,
    RealtimeRunner,
)
from fastapi import FastAPI, Request, Response
from openai import APIStatusError, AsyncOpenAI, InvalidWebhookSignatureError
from websockets.exceptions import ConnectionClosed

log = logging.getLogger("calls")
client = AsyncOpenAI()  # key, address and webhook secret from the environment
app = FastAPI()

REALTIME_URL = os.environ.get("OPENAI_REALTIME_URL", "wss://api.openai.com/v1/realtime")
INSTRUCTIONS = (
    "You answer the phone of Sakura Shop. Be polite and brief. "
    "Look up orders with lookup_customer before you speak of them; never guess."
)
GREETING = "Greet the caller: Sakura Shop, good morning."
CUSTOMERS: dict[str, dict[str, Any]] = {
    "+819012345678": {
        "name": "佐藤 花子",
        "orders": [
            {"id": "A-1001", "item": "桜の便箋", "status": "発送済み"},
            {"id": "A-1002", "item": "万年筆", "status": "準備中"},
        ],
    },
    "+81312345678": {"name": "鈴木 一郎", "orders": []},
}


@dataclass
class Caller:
    """What the tool knows of the call."""

    phone: str | None


@function_tool
async def lookup_customer(call: RunContextWrapper[Caller], phone: str | None = None) -> dict[str, Any]:
    """Find a customer and their orders by phone number. Without `phone` the caller's own number is used."""
    number = phone or call.context.phone
    customer = CUSTOMERS.get(number or "")
    return {"found": customer is not None, "phone": number, **(customer or {})}


agent = RealtimeAgent[Caller](name="Reception", instructions=INSTRUCTIONS, tools=[lookup_customer])
# Without the vendor's tracing: no other server here asks for it.
SETTINGS: dict[str, Any] = {
    "voice": "marin",
    "tracing": None,
    "input_audio_transcription": {"model": "gpt-transcribe"},
    "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
}
# Calls that are up. A task that nobody refers to may be collected while it runs.
calls: dict[str, asyncio.Task[None]] = {}


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    """Takes a call."""
    body = await request.body()
    try:
        event = client.webhooks.unwrap(body, request.headers)
    except (InvalidWebhookSignatureError, ValueError):
        return Response("the signature does not verify", status_code=400)
    if event.type != "realtime.call.incoming" or event.data.call_id in calls:
        return Response(status_code=200)
    call_id = event.data.call_id
    caller = Caller(phone=number_of(event.data.sip_headers))
    session = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent, context=caller, model_config={"initial_model_settings": SETTINGS}
    )
    try:
        await client.realtime.calls.accept(call_id, **session.model_dump(exclude_none=True))
    except APIStatusError as error:
        log.warning("%s was not accepted: %s", call_id, error)
        return Response(status_code=200 if error.status_code == 404 else 500)
    task = asyncio.create_task(talk(call_id, caller))
    calls[call_id] = task
    task.add_done_callback(lambda _: calls.pop(call_id, None))
    return Response(status_code=200)


def number_of(headers: list[Any]) -> str | None:
    """The caller's number, from the SIP header `From`."""
    for header in headers:
        if header.name.lower() == "from" and (found := re.search(r"sip:(\+\d+)@", header.value)):
            return found[1]
    return None


async def talk(call_id: str, caller: Caller) -> None:
    """One call, from its sideband's opening to its end."""
    runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel())
    try:
        async with await runner.run(
            context=caller,
            model_config={
                "call_id": call_id,
                "url": f"{REALTIME_URL}?call_id={call_id}",
                "initial_model_settings": SETTINGS,
            },
        ) as session:
            await session.model.send_event(
                RealtimeModelSendRawMessage(
                    message={
                        "type": "response.create",
                        "other_data": {"response": {"instructions": GREETING}},
                    }
                )
            )
            async for event in session:
                if event.type == "error":
                    log.warning("%s: %s", call_id, event.error)
    except ConnectionClosed:
        pass  # the caller put the phone down
    except Exception:
        log.exception("%s failed", call_id)
