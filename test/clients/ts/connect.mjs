// What every script here needs: a connected client of the TypeScript SDK, and a
// way to tell the test that started it what happens.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

/** Prints one event, a JSON object on one line, for the test to read. */
export function tell(event, value) {
  console.log(JSON.stringify({ event, value }));
}

/**
 * Connects to url. prepare gets the client before it connects, to set the
 * handlers that its capabilities promise.
 */
export async function connect(url, capabilities = {}, prepare = () => {}) {
  const client = new Client({ name: 'sidegate-test', version: '1' }, { capabilities });
  prepare(client);
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  return {
    client,
    transport,
    /** Calls a tool; options are those of the SDK. */
    call: (name, args = {}, options = {}) => client.callTool({ name, arguments: args }, undefined, options),
    /** Ends the session with DELETE and closes the client. */
    end: async () => {
      await transport.terminateSession();
      await client.close();
    },
  };
}

/** The text of a tool's result, all its text blocks joined. */
export function text(result) {
  return result.content.filter((block) => block.type === 'text').map((block) => block.text).join('\n');
}

/** Calls probe until it returns true; the test that started the script bounds the time. */
export async function until(probe) {
  while (!(await probe())) await new Promise((again) => setTimeout(again, 50));
}
