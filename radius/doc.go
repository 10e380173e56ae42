// Package radius is the RADIUS protocol and its sockets: the view of a packet,
// authenticators, the table of duplicates, the listeners, and a client.
package radius
