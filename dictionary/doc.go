// Package dictionary knows the attributes of RADIUS: their names, numbers,
// data types (RFC 8044) and enumerated values, and turns attributes from text
// to wire form and back.
//
// [Embedded] holds the attributes of the RADIUS RFCs and of many vendors;
// [Dictionary.WithFiles] adds files in FreeRADIUS's dictionary syntax. A
// dictionary does not change once it is loaded and is safe for concurrent use.
//
// A [Pair] is one attribute with its value in wire form, in clear and without
// tag, as operators write it in radcheck, radreply or for radclient.
// [Dictionary.ParsePairs] and [AppendPairs] read and write the text form,
// [Dictionary.ParseWire] and [Dictionary.AppendWire] the attributes of a packet.
package dictionary
