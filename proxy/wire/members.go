package wire

import "bytes"

// level is an object whose members are read, and whose keys must therefore
// not repeat. All other objects are only checked for being JSON.
type level uint8

const (
	topLevel level = iota
	paramsLevel
	metaLevel
	resultLevel
	errorLevel
	levels
)

// field is a member that is read.
type field uint8

const (
	unread field = iota
	fieldJSONRPC
	fieldID
	fieldMethod
	fieldParams
	fieldResult
	fieldError
	fieldName
	fieldURI
	fieldArguments
	fieldMeta
	fieldToken
	fieldRequestID
	fieldVersion
	fieldCapabilities
	fieldInputResponses
	fieldRequestState
	fieldMetaToken
	fieldMetaVersion
	fieldMetaCapabilities
	fieldMetaLogLevel
	fieldMetaSubscription
	fieldResultVersion
	fieldCode
	fieldMessage
	fields
)

// The keys of _meta that are read (2026-07-28, basic, "_meta").
const (
	metaVersionKey      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilitiesKey = "io.modelcontextprotocol/clientCapabilities"
	metaLogLevelKey     = "io.modelcontextprotocol/logLevel"
	metaSubscriptionKey = "io.modelcontextprotocol/subscriptionId"
)

// names lists the keys that are read at each level, for the comparison that
// ignores case. fieldOf is the exact and fast form of the same table.
var names = [levels][][]byte{
	topLevel:    bytes.Fields([]byte("jsonrpc id method params result error")),
	paramsLevel: bytes.Fields([]byte("name uri arguments _meta progressToken requestId protocolVersion capabilities inputResponses requestState")),
	metaLevel:   bytes.Fields([]byte("progressToken " + metaVersionKey + " " + metaCapabilitiesKey + " " + metaLogLevelKey + " " + metaSubscriptionKey)),
	resultLevel: bytes.Fields([]byte("protocolVersion")),
	errorLevel:  bytes.Fields([]byte("code message")),
}

// fieldOf is the field that key is at a level.
func fieldOf(lv level, key []byte) field {
	switch lv {
	case topLevel:
		switch string(key) {
		case "jsonrpc":
			return fieldJSONRPC
		case "id":
			return fieldID
		case "method":
			return fieldMethod
		case "params":
			return fieldParams
		case "result":
			return fieldResult
		case "error":
			return fieldError
		}
	case paramsLevel:
		return paramsFieldOf(key)
	case metaLevel:
		switch string(key) {
		case "progressToken":
			return fieldMetaToken
		case metaVersionKey:
			return fieldMetaVersion
		case metaCapabilitiesKey:
			return fieldMetaCapabilities
		case metaLogLevelKey:
			return fieldMetaLogLevel
		case metaSubscriptionKey:
			return fieldMetaSubscription
		}
	case resultLevel:
		if string(key) == "protocolVersion" {
			return fieldResultVersion
		}
	case errorLevel:
		switch string(key) {
		case "code":
			return fieldCode
		case "message":
			return fieldMessage
		}
	}
	return unread
}

func paramsFieldOf(key []byte) field {
	switch string(key) {
	case "name":
		return fieldName
	case "uri":
		return fieldURI
	case "arguments":
		return fieldArguments
	case "_meta":
		return fieldMeta
	case "progressToken":
		return fieldToken
	case "requestId":
		return fieldRequestID
	case "protocolVersion":
		return fieldVersion
	case "capabilities":
		return fieldCapabilities
	case "inputResponses":
		return fieldInputResponses
	case "requestState":
		return fieldRequestState
	}
	return unread
}

// levelOf is the level that the value of f is read at if it is an object.
func levelOf(f field) (lv level, read bool) {
	switch f {
	case fieldParams:
		return paramsLevel, true
	case fieldMeta:
		return metaLevel, true
	case fieldResult:
		return resultLevel, true
	case fieldError:
		return errorLevel, true
	}
	return 0, false
}

// alike tells whether key is one of the level's names to a reader that ignores
// case, as Go's encoding/json does: to it "Method" repeats "method".
func alike(lv level, key []byte) bool {
	for _, name := range names[lv] {
		if bytes.EqualFold(key, name) {
			return true
		}
	}
	return false
}
