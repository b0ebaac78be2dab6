// Runs one operation of a client with a server behind the gate:
//
//   node drive.mjs everything resume http://127.0.0.1:8080/mcp
//   node drive.mjs filesystem call http://127.0.0.1:8080/mcp DIRECTORY
//
// It exits with 0 if all that the operation asserts holds.
const [server, operation, url, ...rest] = process.argv.slice(2);
const operations = await import(`./${server}.mjs`);
await operations[operation](url, ...rest);
