// The operations of a client with @modelcontextprotocol/server-filesystem.
// directory is one that the server was started with.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { connect, tell, text, until } from './connect.mjs';

export async function list(url) {
  const { client, end } = await connect(url);
  const names = (await client.listTools()).tools.map((tool) => tool.name);
  for (const name of ['read_text_file', 'write_file', 'list_directory']) assert.ok(names.includes(name), `${name} is listed`);
  await end();
}

export async function call(url, directory) {
  const { call, end } = await connect(url);
  const file = path.join(await mkdtemp(path.join(directory, 'call-')), 'note.txt');
  const content = 'Zürich\u200d \u{1f600}\n'.repeat(1000);
  assert.ok(!(await call('write_file', { path: file, content })).isError);
  assert.equal(text(await call('read_text_file', { path: file })), content);
  assert.match(text(await call('list_directory', { path: path.dirname(file) })), /note\.txt/);
  assert.ok((await call('read_text_file', { path: '/etc/hostname' })).isError, 'a file outside is refused');
  await end();
}

export async function roots(url, directory) {
  const [first, second] = [path.join(directory, 'first'), path.join(directory, 'second')];
  for (const root of [first, second]) await mkdir(root, { recursive: true });
  let current = first;
  const { client, call, end } = await connect(url, { roots: { listChanged: true } }, (client) =>
    client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: pathToFileURL(current).href }] })),
  );
  // Both times the server asks by itself, for no call's sake.
  const allowed = async () => text(await call('list_allowed_directories')).split('\n').slice(1).join('\n');
  await until(async () => (await allowed()) === first);
  current = second;
  await client.sendRootsListChanged();
  await until(async () => (await allowed()) === second);
  await end();
}

export async function end(url) {
  const { transport, end } = await connect(url);
  tell('session', transport.sessionId);
  await end();
}
