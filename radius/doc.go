// Package radius is the RADIUS protocol (RFC 2865, RFC 2866, RFC 5176 and what
// extends them) and its sockets: the packet as a view of a datagram, writers that
// append, authenticators, the UDP server with its duplicate table, and a client
// that retransmits.
//
// A request is read in place: [Parse] checks a datagram once and returns it as a
// [Packet], whose accessors return slices of it. A [Hasher] holds what a shared
// secret needs to check and sign packets, and does so without allocating. What is
// not answered has a [Discard] reason from a closed list.
//
// Where the package departs from the RFCs or chooses where they leave a choice,
// docs/rfc-notes.md says so.
package radius
