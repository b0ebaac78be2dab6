package wire

// judge fills the envelope from the fields that were found, and notes what is
// wrong with them.
func (s *scanner) judge(e *Envelope, at Span) {
	switch s.msg[at.Start] {
	case '{':
	case '[':
		e.Kind = Batch
		return
	default:
		s.note("a message is an object", at.Start)
		return
	}
	if version, ok := s.text(e, fieldJSONRPC); !ok || string(version) != "2.0" {
		s.note(`"jsonrpc" must be "2.0"`, at.Start)
	}
	s.checkParams()
	e.Kind = s.kind(at)
	switch e.Kind {
	case Request, Notification:
		s.readCall(e)
	case Result:
		e.Revision, _ = s.text(e, fieldResultVersion)
		e.Result = s.span(fieldResult)
	case Error:
		s.checkError(e)
	}
	s.readID(e, at)
}

// kind tells what the message is by which members are there.
func (s *scanner) kind(at Span) Kind {
	const answers = 1<<fieldResult | 1<<fieldError
	switch answer := s.seen & answers; {
	case s.has(fieldMethod) && answer != 0:
		s.note("a message is either a call or an answer", at.Start)
	case s.has(fieldMethod) && s.has(fieldID):
		return Request
	case s.has(fieldMethod):
		return Notification
	case answer == answers:
		s.note("an answer has a result or an error, not both", at.Start)
	case answer == 1<<fieldResult:
		return Result
	case answer == 1<<fieldError:
		return Error
	default:
		s.note("no method, no result, no error", at.Start)
	}
	return Invalid
}

// checkParams notes params that are neither an object nor an array.
func (s *scanner) checkParams() {
	if !s.has(fieldParams) {
		return
	}
	at := s.spans[fieldParams]
	if c := s.msg[at.Start]; c != '{' && c != '[' {
		s.note("params must be an object or an array", at.Start)
	}
}

// checkError notes an error that is no object with an integer code and a
// string message.
func (s *scanner) checkError(e *Envelope) {
	at := s.spans[fieldError]
	if _, ok := s.text(e, fieldMessage); !ok || !s.has(fieldCode) || !s.isInteger(s.spans[fieldCode]) {
		s.note("an error is an object with an integer code and a message", at.Start)
		return
	}
	e.Error, e.Code = at, s.spans[fieldCode]
}

// readCall reads what requests and notifications have.
func (s *scanner) readCall(e *Envelope) {
	var ok bool
	if e.Method, ok = s.text(e, fieldMethod); !ok {
		s.note("method must be a string", s.spans[fieldMethod].Start)
	}
	e.Name, _ = s.text(e, fieldName)
	e.URI, _ = s.text(e, fieldURI)
	e.MetaRevision, _ = s.text(e, fieldMetaVersion)
	e.Params = s.span(fieldParams)
	e.Meta = s.span(fieldMeta)
	e.Arguments = s.span(fieldArguments)

	if e.Kind == Request {
		e.ProgressToken = s.id(fieldMetaToken)
		e.MetaCapabilities = s.span(fieldMetaCapabilities)
		e.LogLevel = s.span(fieldMetaLogLevel)
		e.InputResponses = s.span(fieldInputResponses)
		e.RequestState = s.span(fieldRequestState)
	} else {
		e.SubscriptionID = s.id(fieldMetaSubscription)
	}
	switch string(e.Method) {
	case "initialize":
		e.Revision, _ = s.text(e, fieldVersion)
		e.Capabilities = s.span(fieldCapabilities)
	case "notifications/progress":
		e.ProgressToken = s.id(fieldToken)
	case "notifications/cancelled":
		e.RequestID = s.id(fieldRequestID)
	}
}

// readID reads the id that requests and answers must have. Only an error may
// lack it, or have null: its sender could not read the request's.
func (s *scanner) readID(e *Envelope, at Span) {
	switch {
	case s.has(fieldID):
		if e.Kind == Error && s.msg[s.spans[fieldID].Start] == 'n' {
			return
		}
		e.ID = s.id(fieldID)
	case e.Kind == Result:
		s.note("a result without an id", at.Start)
	}
}

// span is the raw value of a field.
func (s *scanner) span(f field) Span {
	if !s.has(f) {
		return Span{}
	}
	return s.spans[f]
}

// id is the raw value of an id or token that must be a string or an
// integer, empty if the field is absent.
func (s *scanner) id(f field) Span {
	at := s.span(f)
	if at.Empty() {
		return at
	}
	if s.msg[at.Start] == '"' {
		if s.escaped&(1<<f) != 0 {
			s.checkText(at)
		}
	} else if !s.isInteger(at) {
		s.note("ids and tokens are strings or integers", at.Start)
	}
	return at
}

// certainID is the id of a message that is refused for something else.
func (s *scanner) certainID() Span {
	if s.err.Class == NotJSON || !s.has(fieldID) || s.again&(1<<fieldID) != 0 {
		return Span{}
	}
	at := s.spans[fieldID]
	if at.Empty() || !validID(at.Of(s.msg)) {
		return Span{}
	}
	return at
}

// isInteger tells whether the valid JSON value at the span is an integer.
func (s *scanner) isInteger(at Span) bool { return isInteger(at.Of(s.msg)) }

// text decodes a field that should be a string. ok is false if it is absent or
// of another type.
func (s *scanner) text(e *Envelope, f field) (text []byte, ok bool) {
	at := s.span(f)
	if at.Empty() || s.msg[at.Start] != '"' {
		return nil, false
	}
	body := s.msg[at.Start+1 : at.End-1 : at.End-1]
	if s.escaped&(1<<f) == 0 {
		return body, true
	}
	start := len(e.scratch)
	if e.scratch, ok = appendDecoded(e.scratch, body); !ok {
		s.note("a lone surrogate in a text that is read", at.Start)
	}
	return e.scratch[start:len(e.scratch):len(e.scratch)], true
}

// checkText notes a lone surrogate in the string at the span.
func (s *scanner) checkText(at Span) {
	if !soundText(s.msg[at.Start+1 : at.End-1]) {
		s.note("a lone surrogate in an id or token", at.Start)
	}
}
