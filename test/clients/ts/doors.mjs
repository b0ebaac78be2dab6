// Goes through what a client can do, over HTTP+SSE or WebSocket, with the Go
// SDK's everything-server, and with a server that asks for roots:
//
//   node doors.mjs sse http://127.0.0.1:8080/servers
//   node doors.mjs websocket http://127.0.0.1:8080/servers
//
// All operations run at the same time, each in a session of its own. For each
// of them it tells its name, with what went wrong or with null.
import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { WebSocketClientTransport } from '@modelcontextprotocol/sdk/client/websocket.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { tell, text, until } from './connect.mjs';

const [door, base] = process.argv.slice(2);

// Node.js has a WebSocket of its own from version 22 on.
globalThis.WebSocket ??= (await import('ws')).WebSocket;

const transports = {
  sse: (server) => new SSEClientTransport(new URL(`${base}/${server}/sse`)),
  websocket: (server) => new WebSocketClientTransport(new URL(`${base}/${server}/ws`.replace(/^http/, 'ws'))),
};

/** A connected client. prepare gets it before it connects. What comes for it is in client.heard. */
async function connect(capabilities = {}, prepare = () => {}, server = 'everything') {
  const client = new Client({ name: 'sidegate-test', version: '1' }, { capabilities });
  prepare(client);
  const transport = transports[door](server);
  await client.connect(transport);
  client.heard = [];
  const { onmessage } = transport;
  transport.onmessage = (message, extra) => {
    client.heard.push(message);
    onmessage(message, extra);
  };
  client.call = (name, args = {}, options = {}) => client.callTool({ name, arguments: args }, undefined, options);
  return client;
}

const operations = {
  async list() {
    const client = await connect();
    const names = (await client.listTools()).tools.map((tool) => tool.name);
    for (const name of ['test_simple_text', 'test_sampling', 'json_schema_2020_12_tool']) assert.ok(names.includes(name), name);
    return client;
  },

  async call() {
    const client = await connect();
    assert.match(text(await client.call('test_simple_text')), /simple text response/);
    assert.deepEqual((await client.call('test_multiple_content_types')).content.map((block) => block.type), ['text', 'image', 'resource']);
    assert.ok((await client.call('test_error_handling')).isError);
    await assert.rejects(client.call('no_such_tool'), /no_such_tool/);
    return client;
  },

  // The SDK takes progress up a moment later than an answer, and forgets about
  // a call once it is answered: of what comes together with the answer it tells
  // nothing. So this looks at what has come.
  async progress() {
    const client = await connect();
    await client.call('test_tool_with_progress', {}, { onprogress: () => {} });
    const progress = client.heard.map((message) => message.params?.progress ?? 'answer');
    assert.deepEqual(progress, [0, 50, 100, 'answer']);
    return client;
  },

  // The client can be asked, so that its call has the server to itself: where
  // clients share one, what is logged cannot be told apart.
  async logging() {
    const said = [];
    const client = await connect({ roots: {} }, (client) =>
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void said.push(params.data)),
    );
    await client.setLoggingLevel('info');
    await client.call('test_tool_with_logging');
    assert.deepEqual(said, ['Tool execution started', 'Tool processing data', 'Tool execution completed']);
    return client;
  },

  async sampling() {
    const client = await connect({ sampling: {} }, (client) =>
      client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
        model: 'a-model',
        role: 'assistant',
        content: { type: 'text', text: `answer to ${params.messages[0].content.text}` },
      })),
    );
    assert.match(text(await client.call('test_sampling', { prompt: 'the prompt' })), /answer to the prompt/);
    return client;
  },

  async elicitation() {
    const client = await connect({ elicitation: {} }, (client) =>
      client.setRequestHandler(ElicitRequestSchema, ({ params }) => ({ action: 'accept', content: { username: `Ada, ${params.message}` } })),
    );
    assert.match(text(await client.call('test_elicitation', { message: 'who?' })), /action=accept.*Ada, who\?/);
    return client;
  },

  async roots() {
    const client = await connect(
      { roots: {} },
      (client) => client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///one' }, { uri: 'file:///two' }] })),
      'asking',
    );
    assert.equal(text(await client.call('roots')), 'file:///one file:///two');
    return client;
  },

  async subscribe() {
    const uri = 'test://watched-resource';
    let updates = 0;
    const client = await connect({}, (client) =>
      client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
        if (params.uri === uri) updates++;
      }),
    );
    await client.subscribeResource({ uri });
    await until(() => updates > 0);
    await client.unsubscribeResource({ uri });
    return client;
  },

  async prompts() {
    const client = await connect();
    assert.ok((await client.listPrompts()).prompts.length > 0);
    const { messages } = await client.getPrompt({ name: 'test_prompt_with_arguments', arguments: { arg1: 'eins', arg2: 'zw\u00f6i' } });
    assert.match(messages[0].content.text, /arg1='eins', arg2='zw\u00f6i'/);
    return client;
  },

  async resources() {
    const client = await connect();
    assert.ok((await client.listResources()).resources.length > 0);
    assert.ok((await client.listResourceTemplates()).resourceTemplates.length > 0);
    const read = async (uri) => (await client.readResource({ uri })).contents[0];
    assert.match((await read('test://static-text')).text, /static text resource/);
    assert.equal(Buffer.from((await read('test://static-binary')).blob, 'base64').subarray(1, 4).toString(), 'PNG');
    assert.equal(JSON.parse((await read('test://template/9007199254740993/data')).text).id, '9007199254740993');
    return client;
  },

  async completion() {
    const client = await connect();
    const ref = { type: 'ref/prompt', name: 'test_prompt_with_arguments' };
    const { completion } = await client.complete({ ref, argument: { name: 'arg1', value: 'x' } });
    assert.deepEqual(completion.values, []);
    return client;
  },

  // The call hangs in the server, which waits for its client's answer.
  async cancel() {
    const abort = new AbortController();
    const client = await connect({ sampling: {} }, (client) =>
      client.setRequestHandler(CreateMessageRequestSchema, () => {
        abort.abort('enough');
        return new Promise(() => {});
      }),
    );
    await assert.rejects(client.call('test_sampling', { prompt: 'x' }, { signal: abort.signal }), /enough/);
    assert.match(text(await client.call('test_simple_text')), /simple text response/);
    return client;
  },

  async ping() {
    const client = await connect();
    assert.deepEqual(await client.ping(), {});
    return client;
  },
};

await Promise.all(
  Object.entries(operations).map(async ([name, operation]) => {
    try {
      const client = await operation();
      await client.close();
      tell(name, null);
    } catch (error) {
      tell(name, String(error.stack ?? error));
    }
  }),
);
process.exit(0); // a client whose operation failed may still be connected
