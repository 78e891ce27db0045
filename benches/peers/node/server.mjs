// The call server that is commonly built in Node: Express, the `openai` SDK, and `ws` for the sideband.
//
// A signed webhook comes in, the call is accepted, and a WebSocket is attached to it by its call id. On it the model
// asks for the tool. Calls live in this process's memory and nowhere else.
//
// `PORT=8000 WORKERS=2 node server.mjs`; the environment is that of `switchboard load --print-env`. With more than one
// worker each is a process of its own (node:cluster); a call stays in the one that took its webhook.

import cluster from 'node:cluster';
import express from 'express';
import OpenAI from 'openai';
import WebSocket from 'ws';

const PORT = Number(process.env.PORT ?? 8000);
const WORKERS = Number(process.env.WORKERS ?? 1);
const REALTIME_URL = process.env.OPENAI_REALTIME_URL ?? 'wss://api.openai.com/v1/realtime';
const INSTRUCTIONS =
  'You answer the phone of Sakura Shop. Be polite and brief. ' +
  'Look up orders with lookup_customer before you speak of them; never guess.';
const GREETING = 'Greet the caller: Sakura Shop, good morning.';
const CUSTOMERS = new Map([
  ['+819012345678', {
    name: '佐藤 花子',
    orders: [
      { id: 'A-1001', item: '桜の便箋', status: '発送済み' },
      { id: 'A-1002', item: '万年筆', status: '準備中' },
    ],
  }],
  ['+81312345678', { name: '鈴木 一郎', orders: [] }],
]);
const SESSION = {
  type: 'realtime',
  model: 'gpt-realtime-2.1',
  instructions: INSTRUCTIONS,
  audio: {
    input: {
      transcription: { model: 'gpt-transcribe' },
      turn_detection: { type: 'semantic_vad', interrupt_response: true },
    },
    output: { voice: 'marin' },
  },
  tools: [{
    type: 'function',
    name: 'lookup_customer',
    description: "Find a customer and their orders by phone number. Without `phone` the caller's own number is used.",
    parameters: {
      type: 'object',
      properties: { phone: { type: 'string', description: "A phone number. Leave it out for the caller's own." } },
      additionalProperties: false,
    },
  }],
};
const TOOLS = {
  lookup_customer(call, { phone }) {
    const number = phone || call.phone;
    const customer = CUSTOMERS.get(number);
    return { found: customer !== undefined, phone: number, ...customer };
  },
};

/** Calls that are up. */
const calls = new Map();

if (cluster.isPrimary && WORKERS > 1) {
  for (let n = 0; n < WORKERS; n += 1) cluster.fork();
  cluster.on('exit', () => cluster.fork());
} else {
  serve();
}

function serve() {
  const client = new OpenAI(); // key, address and webhook secret from the environment
  const app = express();
  app.disable('x-powered-by');
  app.post('/webhook', express.text({ type: '*/*' }), async (request, response) => {
    let event;
    try {
      event = await client.webhooks.unwrap(request.body, request.headers);
    } catch {
      response.status(400).send('the signature does not verify');
      return;
    }
    if (event.type !== 'realtime.call.incoming' || calls.has(event.data.call_id)) {
      response.sendStatus(200);
      return;
    }
    const { call_id: id, sip_headers: headers } = event.data;
    const call = { id, phone: numberOf(headers), socket: null };
    calls.set(id, call);
    try {
      await client.realtime.calls.accept(id, SESSION);
    } catch (error) {
      calls.delete(id);
      console.error(`${id} was not accepted: ${error.message}`);
      response.sendStatus(error.status === 404 ? 200 : 500);
      return;
    }
    attach(call, client.apiKey);
    response.sendStatus(200);
  });
  app.listen(PORT, '127.0.0.1');
}

/** The caller's number, from the SIP header `From`. */
function numberOf(headers) {
  const from = headers.find((header) => header.name.toLowerCase() === 'from');
  return from?.value.match(/sip:(\+\d+)@/)?.[1];
}

/** Opens the sideband of a call, and answers on it until it closes. */
function attach(call, key) {
  const socket = new WebSocket(`${REALTIME_URL}?call_id=${encodeURIComponent(call.id)}`, {
    headers: { Authorization: `Bearer ${key}` },
  });
  call.socket = socket;
  const send = (event) => socket.send(JSON.stringify(event));
  socket.on('open', () => send({ type: 'response.create', response: { instructions: GREETING } }));
  socket.on('message', (data) => {
    const event = JSON.parse(data);
    if (event.type === 'response.done') answer(call, event.response, send);
    else if (event.type === 'error') console.error(`${call.id}: ${event.error?.message}`);
  });
  socket.on('error', (error) => console.error(`${call.id}: ${error.message}`));
  socket.on('close', () => calls.delete(call.id));
}

/** Answers all function calls of a turn, then asks the model to go on, once. */
function answer(call, turn, send) {
  const asked = turn.output.filter((item) => item.type === 'function_call');
  for (const { name, call_id: id, arguments: text } of asked) {
    let output;
    try {
      output = TOOLS[name](call, JSON.parse(text || '{}'));
    } catch (error) {
      output = { error: error.message };
    }
    send({
      type: 'conversation.item.create',
      item: { type: 'function_call_output', call_id: id, output: JSON.stringify(output) },
    });
  }
  if (asked.length > 0) send({ type: 'response.create' });
}
