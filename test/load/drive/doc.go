// Package drive makes the load: callers that send prepared requests and judge
// every answer, in a closed loop or at a fixed rate, over Streamable HTTP,
// HTTP+SSE and WebSocket, and crowds that hold streams open.
//
// It shares the processors with what it measures, so requests are prepared
// beforehand and only an id and a token are written into them; nothing is
// decoded that need not be. What it sent and what became of it is a Balance,
// which must come out even: an answer that is missing, refused, somebody
// else's or there twice is never taken for one that is right.
package drive
