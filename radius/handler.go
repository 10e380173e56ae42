package radius

// A Handler answers requests.
//
// ServeRADIUS is called for each verified Access-Request and Accounting-Request,
// on the goroutine of the listener that read it: while it runs, no other packet
// of that socket is read, so it must not block. It ends with exactly one of
//
//   - w.Send: the reply is ready;
//   - w.Discard: there is no answer, and a retransmission is tried anew;
//   - w.Hold: another goroutine will call w.Send or w.Discard;
//   - w.Defer: a function goes on with it in the server's pool, and ends with one
//     of these in turn.
//
// After any of them w and r no longer belong to the handler, except as Hold
// allows. A handler that ends with none has discarded the request and an error
// is logged; so has one that panics.
type Handler interface {
	ServeRADIUS(w *Reply, r *Request)
}

// A Preparer is a Handler that wants to see the requests of a batch before it is called
// for each of them, to bring what it will need into the processor's caches: that takes
// one access to memory for all of them in place of one each. Nothing is known of the
// packets yet but that they are well-formed, and some may never come to ServeRADIUS.
// PrepareRADIUS is called on the listener's goroutine, and must neither block nor keep
// the packets.
type Preparer interface {
	PrepareRADIUS(packets []Packet)
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(w *Reply, r *Request)

// ServeRADIUS calls f.
func (f HandlerFunc) ServeRADIUS(w *Reply, r *Request) { f(w, r) }
