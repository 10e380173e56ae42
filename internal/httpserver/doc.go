// Package httpserver runs an [http.Handler] as it should stand in a network: TLS from
// files that may change, bounds on everything a client can make grow, request ids,
// security headers, compression, metrics, traces and an access log.
//
// It knows nothing of what it serves: what is special about a route comes in as a
// [Route], and who called is told by the handler through [SetActor].
package httpserver
