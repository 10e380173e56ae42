// Package radiustest helps to test what speaks RADIUS, as net/http/httptest does for
// HTTP: a server on free ports, and a NAS that sends what a test says, well-formed or
// not, and takes Disconnect and CoA requests.
package radiustest
