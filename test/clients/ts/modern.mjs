// The operations of a client of the TypeScript SDK's second major version with
// @modelcontextprotocol/server-everything, which is legacy: each connects as a
// modern client, which cannot fall back, and asserts.
import assert from 'node:assert/strict';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { tell, text, until } from './connect.mjs';

const longOperation = 'trigger-long-running-operation';
const modern = { pin: '2026-07-28' };

async function connect(url, capabilities = {}, prepare = () => {}, mode = modern) {
  const client = new Client({ name: 'sidegate-test', version: '2' }, { capabilities, versionNegotiation: { mode } });
  prepare(client);
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return { client, call: (name, args = {}, options = {}) => client.callTool({ name, arguments: args }, options) };
}

export async function list(url) {
  const { client } = await connect(url);
  assert.equal(client.getNegotiatedProtocolVersion(), modern.pin);
  assert.equal(client.getServerVersion().name, 'mcp-servers/everything');
  assert.ok(client.getInstructions().length > 0, 'instructions');
  const names = (await client.listTools()).tools.map((tool) => tool.name);
  for (const name of ['echo', 'get-sum', longOperation]) assert.ok(names.includes(name), `${name} is listed`);
  assert.ok((await client.listResources()).resources.length > 0, 'resources');
  assert.ok((await client.listResourceTemplates()).resourceTemplates.length > 0, 'resource templates');
  assert.ok((await client.listPrompts()).prompts.length > 0, 'prompts');
  await client.close();
}

export async function call(url) {
  const { client, call } = await connect(url);
  const message = 'Zürich\u200d \u{1f600} "quoted" \\ line\nline';
  assert.equal(text(await call('echo', { message })), `Echo: ${message}`);
  const structured = await call('get-structured-content', { location: 'Chicago' });
  assert.equal(typeof structured.structuredContent.temperature, 'number');
  const missing = await call('no-such-tool');
  assert.ok(missing.isError, 'an unknown tool is an error');
  const sums = Array.from({ length: 50 }, (_, i) => call('get-sum', { a: i, b: 1000 }));
  (await Promise.all(sums)).forEach((sum, i) => assert.match(text(sum), new RegExp(`\\b${1000 + i}\\b`)));
  await client.close();
}

export async function read(url) {
  const { client } = await connect(url);
  const prompt = await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Zürich' } });
  assert.match(prompt.messages[0].content.text, /Zürich/);
  const { contents } = await client.readResource({ uri: 'demo://resource/dynamic/text/1' });
  assert.equal(contents[0].uri, 'demo://resource/dynamic/text/1');
  await assert.rejects(client.readResource({ uri: 'demo://nowhere' }), (error) => error.code === -32602);
  const completed = await client.complete({
    ref: { type: 'ref/prompt', name: 'completable-prompt' },
    argument: { name: 'department', value: 'E' },
  });
  assert.ok(completed.completion.values.includes('Engineering'), 'completion');
  await client.close();
}

export async function progress(url) {
  const { client, call } = await connect(url);
  const seen = [];
  const result = await call(longOperation, { duration: 1, steps: 4 }, { onprogress: (p) => seen.push(p.progress) });
  assert.deepEqual(seen, [1, 2, 3, 4]);
  assert.match(text(result), /completed/);
  await client.close();
}

export async function sampling(url) {
  let asked;
  const { client, call } = await connect(url, { sampling: {} }, (client) =>
    client.setRequestHandler('sampling/createMessage', ({ params }) => {
      asked = params;
      return { model: 'a-model', role: 'assistant', content: { type: 'text', text: 'sampled answer' } };
    }),
  );
  const result = await call('trigger-sampling-request', { prompt: 'the prompt', maxTokens: 7 });
  assert.equal(asked.maxTokens, 7);
  assert.match(text(result), /sampled answer/);
  await client.close();
}

export async function elicitation(url) {
  const { client, call } = await connect(url, { elicitation: {} }, (client) =>
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { name: 'Ada', check: true } })),
  );
  assert.match(text(await call('trigger-elicitation-request')), /Ada/);
  await client.close();
}

export async function roots(url) {
  const { client, call } = await connect(url, { roots: {} }, (client) =>
    client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///first', name: 'first' }] })),
  );
  assert.match(text(await call('get-roots-list')), /file:\/\/\/first/);
  await client.close();
}

export async function listen(url) {
  const uri = 'demo://resource/dynamic/text/1';
  let updates = 0;
  const { client, call } = await connect(url, {}, (client) =>
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
      if (params.uri === uri) updates++;
    }),
  );
  const subscription = await client.listen({ resourceSubscriptions: [uri], toolsListChanged: true });
  assert.deepEqual(subscription.honoredFilter, { resourceSubscriptions: [uri], toolsListChanged: true });
  await call('toggle-subscriber-updates');
  await until(() => updates >= 2);
  await call('toggle-subscriber-updates');
  await subscription.close();
  await client.close();
}

export async function cancel(url) {
  const { client, call } = await connect(url);
  const abort = new AbortController();
  const pending = call(longOperation, { duration: 50, steps: 100 }, { signal: abort.signal, onprogress: () => abort.abort('enough') });
  await assert.rejects(pending, /enough/);
  assert.equal(text(await call('echo', { message: 'still here' })), 'Echo: still here');
  tell('cancelled');
  await client.close();
}

/** The same client may ask which era there is, or be legacy. */
export async function eras(url) {
  for (const [mode, version] of [['auto', modern.pin], ['legacy', '2025-11-25']]) {
    const { client, call } = await connect(url, {}, () => {}, mode);
    assert.equal(client.getNegotiatedProtocolVersion(), version);
    assert.equal(text(await call('echo', { message: mode })), `Echo: ${mode}`);
    await client.close();
  }
}
