// The operations of npm's ws, a strict reader of frames, with server-everything
// over WebSocket. Each opens a connection of its own, asserts, and ends it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import WebSocket from 'ws';
import { text } from './connect.mjs';

const initialize = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'ws', version: '1' } },
};

/** Connects, and reads messages; everything that ws finds wrong is an error. */
async function open(url, { headers = {}, ...options } = {}) {
  const socket = new WebSocket(url, ['mcp'], { headers, perMessageDeflate: false, ...options });
  const received = [];
  const waiting = [];
  let count = 0;
  let session;
  socket.on('upgrade', (response) => (session = response.headers['mcp-session-id']));
  socket.on('message', (data, binary) => {
    assert.ok(!binary, 'messages are text');
    const message = { ...JSON.parse(data.toString()), number: ++count };
    const next = waiting.shift();
    if (next) next(message);
    else received.push(message);
  });
  const closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })));
  await once(socket, 'open');
  const next = () => (received.length > 0 ? received.shift() : new Promise((resolve) => waiting.push(resolve)));
  /** Waits for the answer to a request; what comes before it is dropped. */
  const answer = async (id) => {
    for (;;) {
      const message = await next();
      if (message.id === id && !message.method) return message;
    }
  };
  return {
    socket,
    session,
    closed,
    next,
    answer,
    /** Sends a request and waits for its answer. */
    call: (id, method, params = {}) => {
      socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
      return answer(id);
    },
    end: async () => {
      socket.close(1000);
      assert.equal((await closed).code, 1000, 'the goodbye is answered');
    },
  };
}

/** open, with a session. */
async function begin(url, options) {
  const c = await open(url, options);
  assert.equal(c.socket.protocol, 'mcp');
  c.socket.send(JSON.stringify(initialize));
  const answer = await c.next();
  assert.equal(answer.id, 0);
  assert.equal(answer.result.protocolVersion, '2025-11-25');
  c.socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }));
  return c;
}

const echo = (c, id, message) => c.call(id, 'tools/call', { name: 'echo', arguments: { message } });

async function wantEcho(c, id, message) {
  assert.equal(text((await echo(c, id, message)).result), `Echo: ${message}`);
}

export async function call(url) {
  const c = await begin(url);
  await wantEcho(c, 1, 'Zürich\u200d \u{1f600} "quoted" \\ line\nline');
  await Promise.all([c.call(2, 'tools/list'), once(c.socket, 'pong'), c.socket.ping('now')]);
  await c.end();
}

export async function large(url) {
  const c = await begin(url);
  for (const [id, size] of [100, 125, 126, 8192, 65535, 65536, 1 << 20, 4 << 20].entries()) await wantEcho(c, id + 1, 'x'.repeat(size));
  await c.end();
}

export async function fragments(url) {
  const c = await begin(url);
  const message = '日本\u{1f600}'.repeat(1000);
  const whole = Buffer.from(
    JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { message } } }),
  );
  for (let at = 0; at < whole.length; at += 777) {
    c.socket.send(whole.subarray(at, at + 777), { binary: false, fin: at + 777 >= whole.length });
    c.socket.ping();
  }
  assert.equal(text((await c.answer(1)).result), `Echo: ${message}`);
  await c.end();
}

/** The gate was started with --compress. */
export async function compressed(url) {
  const c = await begin(url, { perMessageDeflate: { threshold: 0 } });
  assert.match(c.socket.extensions, /permessage-deflate/);
  for (const [id, size] of [1, 1000, 1 << 20].entries()) await wantEcho(c, id + 1, 'compress me '.repeat(size / 12 + 1));
  await c.end();
}

/** The gate was started without. */
export async function uncompressed(url) {
  const c = await begin(url, { perMessageDeflate: true });
  assert.equal(c.socket.extensions, '');
  await wantEcho(c, 1, 'plain');
  await c.end();
}

export async function codes(url) {
  const faults = [
    [1003, (socket) => socket.send(Buffer.from('{}'))],
    [1009, (socket) => socket.send('x'.repeat((16 << 20) + 1))],
    [1002, (socket) => socket._socket.write(Buffer.from([0x81, 0x02, 0x7b, 0x7d]))], // not masked
  ];
  for (const [code, fault] of faults) {
    const c = await begin(url);
    fault(c.socket);
    assert.equal((await c.closed).code, code);
  }
  for (const code of [1000, 1001, 3000, undefined]) {
    const c = await begin(url);
    c.socket.close(code);
    assert.equal((await c.closed).code, code ?? 1005);
  }
}

export async function resume(url) {
  let c = await begin(url);
  for (let id = 1; id <= 3; id++) await wantEcho(c, id, `before ${id}`);
  const missed = await echo(c, 4, 'missed'); // it has come, and the client forgets it
  c.socket.terminate();
  c = await open(url, { headers: { 'Mcp-Session-Id': c.session, 'Last-Event-ID': `${missed.number - 1}` } });
  assert.deepEqual({ ...(await c.next()), number: missed.number }, missed);
  await wantEcho(c, 5, 'after');
  await c.end();
  await assert.rejects(open(url, { headers: { 'Mcp-Session-Id': c.session } }), /404/);
}

/** The client of the TypeScript SDK, as it is. */
export async function sdk(url) {
  const client = new Client({ name: 'sidegate-test', version: '1' });
  await client.connect(new WebSocketClientTransport(new URL(url)));
  assert.ok((await client.listTools()).tools.length > 0, 'tools');
  assert.equal(text(await client.callTool({ name: 'echo', arguments: { message: 'hello' } })), 'Echo: hello');
  await client.close();
}
