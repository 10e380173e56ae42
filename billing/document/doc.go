// Package document makes of an invoice what is sent to its buyer: a PDF for people
// ([WritePDF]) and UBL by EN 16931 for programs ([WriteUBL]); and sheets of vouchers to
// print ([WriteVoucherSheet]).
//
// Everything is made of the invoice alone, so that the same invoice gives the same
// octets, on any day. Names and texts come from outside: characters that control
// anything are taken out, and what is too long is cut, so that time and memory are
// bounded whatever they hold.
package document
