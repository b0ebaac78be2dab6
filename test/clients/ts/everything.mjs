// The operations of a client with @modelcontextprotocol/server-everything.
// Each opens a session of its own, asserts, and ends it.
import assert from 'node:assert/strict';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { connect, tell, text, until } from './connect.mjs';

const longOperation = 'trigger-long-running-operation';

export async function list(url) {
  const { client, end } = await connect(url);
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name);
  for (const name of ['echo', 'get-sum', longOperation]) assert.ok(names.includes(name), `${name} is listed`);
  assert.ok((await client.listResources()).resources.length > 0, 'resources');
  assert.ok((await client.listResourceTemplates()).resourceTemplates.length > 0, 'resource templates');
  assert.ok((await client.listPrompts()).prompts.length > 0, 'prompts');
  await end();
}

export async function call(url) {
  const { call, end } = await connect(url);
  const message = 'Zürich\u200d \u{1f600} "quoted" \\ line\nline';
  assert.equal(text(await call('echo', { message })), `Echo: ${message}`);
  assert.match(text(await call('get-sum', { a: 40, b: 2 })), /\b42\b/);
  const structured = await call('get-structured-content', { location: 'Chicago' });
  assert.equal(typeof structured.structuredContent.temperature, 'number');
  await end();
}

export async function progress(url) {
  const { call, end } = await connect(url);
  const seen = [];
  const result = await call(longOperation, { duration: 1, steps: 4 }, { onprogress: (p) => seen.push(p.progress) });
  assert.deepEqual(seen, [1, 2, 3, 4]);
  assert.match(text(result), /completed/);
  await end();
}

export async function sampling(url) {
  let asked;
  const { call, end } = await connect(url, { sampling: {} }, (client) =>
    client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => {
      asked = params;
      return { model: 'a-model', role: 'assistant', content: { type: 'text', text: 'sampled answer' } };
    }),
  );
  const result = await call('trigger-sampling-request', { prompt: 'the prompt', maxTokens: 7 });
  assert.equal(asked.maxTokens, 7);
  assert.match(asked.messages[0].content.text, /the prompt/);
  assert.match(text(result), /sampled answer/);
  await end();
}

export async function elicitation(url) {
  const { call, end } = await connect(url, { elicitation: {} }, (client) =>
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Ada', check: true } })),
  );
  assert.match(text(await call('trigger-elicitation-request')), /Ada/);
  await end();
}

export async function roots(url) {
  let current = [{ uri: 'file:///first', name: 'first' }];
  const { client, call, end } = await connect(url, { roots: { listChanged: true } }, (client) =>
    client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: current })),
  );
  assert.match(text(await call('get-roots-list')), /file:\/\/\/first/);
  // Now the server asks by itself, for no call's sake.
  current = [{ uri: 'file:///second', name: 'second' }];
  await client.sendRootsListChanged();
  await until(async () => /file:\/\/\/second/.test(text(await call('get-roots-list'))));
  await end();
}

export async function subscribe(url) {
  const uri = 'demo://resource/dynamic/text/1';
  let updates = 0;
  const { client, call, end } = await connect(url, {}, (client) =>
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
      if (params.uri === uri) updates++;
    }),
  );
  await client.subscribeResource({ uri });
  await call('toggle-subscriber-updates');
  // The first comes with the call, the second 5 s later, when nothing is in
  // flight and the session's own stream is the only way.
  await until(() => updates >= 2);
  await call('toggle-subscriber-updates');
  await client.unsubscribeResource({ uri });
  await end();
}

export async function cancel(url) {
  const { call, end } = await connect(url);
  const abort = new AbortController();
  const pending = call(longOperation, { duration: 50, steps: 100 }, { signal: abort.signal, onprogress: () => abort.abort('enough') });
  await assert.rejects(pending, /enough/);
  assert.equal(text(await call('echo', { message: 'still here' })), 'Echo: still here');
  tell('cancelled');
  await end();
}

export async function resume(url) {
  const { call, end } = await connect(url);
  const seen = [];
  const result = await call(longOperation, { duration: 3, steps: 10 }, {
    onprogress: (p) => {
      seen.push(p.progress);
      tell('progress', p.progress);
    },
  });
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 'every progress event once, in order');
  assert.match(text(result), /completed/);
  await end();
}

export async function end(url) {
  const { transport, call, end } = await connect(url);
  const environment = JSON.parse(text(await call('get-env')));
  tell('session', transport.sessionId);
  tell('pid', Number(environment.SERVER_PID));
  await end();
}
