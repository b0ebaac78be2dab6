package wire

// Kind is what a message is.
type Kind uint8

// The kinds of message.
const (
	Invalid      Kind = iota
	Request           // method and id
	Notification      // method, no id
	Result            // the answer to a request
	Error             // the refusal of a request
	Batch             // an array; Elements goes through it
)

// Envelope is what the gate reads of a message. Spans are offsets into the
// scanned message. Texts are decoded; they are parts of the message, or of the
// envelope where the message had them escaped, and valid until the message
// changes or the next Scan into this envelope: copy to keep. The zero value is
// ready for use, and using one again saves allocations; a copy of one that is
// used again shares its memory.
//
// What is absent is empty. Name, URI, Revision and MetaRevision are nil also
// where the member is there but no string; the receiver refuses that.
type Envelope struct {
	Kind Kind
	ID   Span // raw token, a string with its quotes or an integer; an error response may have none

	Method    []byte
	Name      []byte // params.name
	URI       []byte // params.uri
	Params    Span   // raw value, an object or an array
	Meta      Span   // params._meta, raw value
	Arguments Span   // params.arguments, raw value

	ProgressToken Span   // raw token: params._meta.progressToken of a request, params.progressToken of notifications/progress
	RequestID     Span   // raw token: params.requestId of notifications/cancelled
	Revision      []byte // params.protocolVersion of initialize, result.protocolVersion of a result
	MetaRevision  []byte // params._meta["io.modelcontextprotocol/protocolVersion"]
	Capabilities  Span   // params.capabilities of initialize, raw value

	// Of 2026-07-28 (basic, "_meta"; basic/patterns/mrtr).
	MetaCapabilities Span // params._meta[".../clientCapabilities"], raw value
	LogLevel         Span // params._meta[".../logLevel"] of a request, raw value
	SubscriptionID   Span // raw token: params._meta[".../subscriptionId"] of a notification
	InputResponses   Span // params.inputResponses of a request, raw value
	RequestState     Span // params.requestState of a request, raw value

	Result Span // of a result, raw value
	Error  Span // of an error, raw value: an object
	Code   Span // error.code, an integer

	HasNewline bool // a line break stands between tokens: Flatten before msg goes out as a line

	scratch []byte // texts that the message had escaped
}

// Scan reads msg in one strict pass, without allocating unless an object that
// is read has more than a thousand keys. It refuses what is not exactly one
// JSON value in UTF-8, what nests deeper than 128, and what two readers could
// take in two ways: at the levels that are read (the message itself, params,
// params._meta, result, error) keys must not repeat, hold NUL or a lone
// surrogate, or differ only in case from one that is read, all of them compared
// decoded. Below those levels JSON passes as it came. An array is a Batch and
// not looked into. TestScanRefuses is the table.
//
// An error is a *SyntaxError. Then only ID may be set: the id of what was
// refused, where one could be made out beyond doubt, for the answer.
// (JSON-RPC 2.0, sections 4 and 5; 2025-11-25, basic, "Messages")
func (e *Envelope) Scan(msg []byte) error {
	e.Reset()
	s := acquireScanner(msg)
	defer s.release()

	at, ok := s.message()
	if ok {
		s.judge(e, at)
	}
	if s.err != nil {
		err := s.err
		id := s.certainID()
		e.Reset()
		e.ID = id
		return err
	}
	e.HasNewline = s.newline
	return nil
}

// Reset forgets the message, so that it can be freed. Scan does it by itself.
func (e *Envelope) Reset() { *e = Envelope{scratch: kept(e.scratch)} }
