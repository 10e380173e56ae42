package radius

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// requestCodes are the requests that the server takes, by index.
var requestCodes = [...]Code{AccessRequest, AccountingRequest, StatusServer}

const requestCodeCount = len(requestCodes)

func requestIndex(c Code) int {
	switch c {
	case AccountingRequest:
		return 1
	case StatusServer:
		return 2
	}
	return 0
}

// replyCodes are the answers that it gives, by index.
var replyCodes = [...]Code{AccessAccept, AccessReject, AccessChallenge, AccountingResponse, ProtocolError}

const replyCodeCount = len(replyCodes)

func replyIndex(c Code) int {
	switch c {
	case AccessAccept:
		return 0
	case AccessReject:
		return 1
	case AccessChallenge:
		return 2
	case AccountingResponse:
		return 3
	}
	return 4
}

// counters are one listener's. Its goroutine, its sender and the owners of held
// replies write them, scrapes read them; nobody waits for anybody.
type counters struct {
	received   atomic.Uint64
	sent       atomic.Uint64
	sendErrors atomic.Uint64
	repeated   atomic.Uint64 // duplicates that got the same reply again
	panics     atomic.Uint64
	floods     atomic.Int64 // sources that the kernel drops
	discards   [discardCount]atomic.Uint64
	discarded  [requestCodeCount]atomic.Uint64 // of those the ones that were requests, duplicates aside
	answers    [requestCodeCount][replyCodeCount]atomic.Uint64
	durations  [requestCodeCount]histogram
}

// discardRequest counts a request that gets no answer.
func (c *counters) discardRequest(code Code, reason Discard) {
	c.discards[reason].Add(1)
	if reason != DiscardDuplicateInProgress {
		c.discarded[requestIndex(code)].Add(1)
	}
}

// answer counts the first answer to a request.
func (c *counters) answer(request, reply Code) {
	c.answers[requestIndex(request)][replyIndex(reply)].Add(1)
}

// durationBuckets are the upper bounds, in seconds: from a reply made on the
// listener to what a NAS no longer waits for.
var durationBuckets = [...]float64{
	0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
	0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// histogram counts durations by bucket.
type histogram struct {
	buckets [len(durationBuckets) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration, n int) {
	if n == 0 {
		return
	}
	seconds := d.Seconds()
	i := 0
	for i < len(durationBuckets) && seconds > durationBuckets[i] {
		i++
	}
	h.buckets[i].Add(uint64(n))
	h.sum.Add(int64(d) * int64(n))
}

// Stats are the server's counters, summed over its listeners.
type Stats struct {
	Received   uint64 // datagrams read
	Sent       uint64 // replies written, repeats included
	SendErrors uint64 // replies that the network refused
	Dropped    uint64 // datagrams that the kernel threw away because the server was too slow
	Repeated   uint64 // duplicates that got the same reply again
	Panics     uint64 // panics of handlers and deferred functions

	Discards map[Discard]uint64       // datagrams without an answer, by reason; no zeros
	Answers  map[Code]map[Code]uint64 // first answers by code of request and reply; no zeros
	InFlight int                      // replies that are held, deferred, delayed or about to be sent
	Delayed  int                      // replies that wait for Reply.DelayUntil
	Queued   int                      // deferred functions that wait
	Busy     int                      // deferred functions that run
	Backlog  int                      // requests that were read and wait, because more comes than the listeners can handle
	Floods   int                      // sources of which the kernel drops a part, for each listener
	Entries  int                      // requests in the duplicate tables
}

// Stats returns the counters as they are now; zero before Start.
func (s *Server) Stats() Stats {
	total := Stats{Discards: make(map[Discard]uint64), Answers: make(map[Code]map[Code]uint64)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return total
	}
	for _, l := range s.listeners {
		c := l.counters
		total.Received += c.received.Load()
		total.Sent += c.sent.Load()
		total.SendErrors += c.sendErrors.Load()
		total.Dropped += socketDrops(l.conn)
		total.Repeated += c.repeated.Load()
		total.Panics += c.panics.Load()
		for reason := range c.discards {
			if n := c.discards[reason].Load(); n > 0 {
				total.Discards[Discard(reason)] += n
			}
		}
		for i, request := range requestCodes {
			for j, reply := range replyCodes {
				n := c.answers[i][j].Load()
				if n == 0 {
					continue
				}
				if total.Answers[request] == nil {
					total.Answers[request] = make(map[Code]uint64)
				}
				total.Answers[request][reply] += n
			}
		}
		total.Backlog += int(l.backlog.size.Load())
		total.Floods += int(c.floods.Load())
		total.Entries += int(l.table.size.Load())
		total.InFlight += l.inFlight.held()
	}
	total.Delayed = s.delays.len()
	total.Queued, total.Busy = s.pool.stats()
	return total
}

// collector sums the listeners' counters when it is scraped.
type collector struct{ server *Server }

var (
	requestsDesc = prometheus.NewDesc("radiusd_requests_total",
		"Requests from known NASes by code and result, duplicates not counted.", []string{"code", "result"}, nil)
	receivedDesc = prometheus.NewDesc("radiusd_received_packets_total",
		"Datagrams read from the sockets.", []string{"service"}, nil)
	responsesDesc = prometheus.NewDesc("radiusd_responses_total",
		"Responses written to the sockets, those to duplicates included.", []string{"service"}, nil)
	sendErrorsDesc = prometheus.NewDesc("radiusd_send_errors_total",
		"Responses that the network did not take.", []string{"service"}, nil)
	socketDropsDesc = prometheus.NewDesc("radiusd_socket_drops_total",
		"Datagrams that the kernel threw away because a receive buffer was full or a source floods.", []string{"service"}, nil)
	discardsDesc = prometheus.NewDesc("radiusd_discards_total",
		"Datagrams that got no answer, by reason.", []string{"service", "reason"}, nil)
	durationDesc = prometheus.NewDesc("radiusd_request_duration_seconds",
		"Time from reading a request to writing its first answer.", []string{"code"}, nil)
	duplicatesDesc = prometheus.NewDesc("radiusd_duplicates_total",
		"Repeated requests: answered with the same reply again, or dropped because the first one is in progress.", []string{"service", "result"}, nil)
	backlogDesc = prometheus.NewDesc("radiusd_backlog_requests",
		"Requests that were read and wait, because more comes than the listeners can handle.", []string{"service"}, nil)
	floodsDesc = prometheus.NewDesc("radiusd_flooding_sources",
		"Sources that send so much that the kernel drops a part of it, counted for each socket.", []string{"service"}, nil)
	tableEntriesDesc = prometheus.NewDesc("radiusd_duplicate_table_entries",
		"Requests that the duplicate tables remember.", []string{"service"}, nil)
	tableBytesDesc = prometheus.NewDesc("radiusd_duplicate_table_bytes",
		"Memory of the replies that are kept for duplicates.", []string{"service"}, nil)
	inFlightDesc = prometheus.NewDesc("radiusd_requests_in_flight",
		"Requests that are held, deferred, delayed or about to be answered.", []string{"service"}, nil)
	panicsDesc = prometheus.NewDesc("radiusd_handler_panics_total",
		"Panics of request handlers.", nil, nil)
	queueLengthDesc = prometheus.NewDesc("radiusd_deferred_queue_length",
		"Deferred requests that wait for a worker.", nil, nil)
	queueLimitDesc = prometheus.NewDesc("radiusd_deferred_queue_limit",
		"Deferred requests that may wait; more are discarded.", nil, nil)
	busyDesc = prometheus.NewDesc("radiusd_deferred_workers_busy",
		"Workers that run a deferred request.", nil, nil)
	delayedDesc = prometheus.NewDesc("radiusd_delayed_replies",
		"Replies that wait for their delay to pass.", nil, nil)
)

// Describe implements prometheus.Collector.
func (collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		requestsDesc, receivedDesc, responsesDesc, sendErrorsDesc, socketDropsDesc, discardsDesc, durationDesc,
		duplicatesDesc, backlogDesc, floodsDesc, tableEntriesDesc, tableBytesDesc, inFlightDesc, panicsDesc,
		queueLengthDesc, queueLimitDesc, busyDesc, delayedDesc,
	} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	s := c.server
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	var panics uint64
	var services [serviceCount]serviceTotals
	var durations [requestCodeCount]histogramTotals
	for _, l := range s.listeners {
		services[l.service].add(l)
		panics += l.counters.panics.Load()
		for i := range durations {
			durations[i].add(&l.counters.durations[i])
		}
	}
	for i := range services {
		t, name := &services[i], service(i).String()
		if t.listeners == 0 {
			continue
		}
		counter(receivedDesc, t.received, name)
		counter(responsesDesc, t.sent, name)
		counter(sendErrorsDesc, t.sendErrors, name)
		counter(socketDropsDesc, t.dropped, name)
		counter(duplicatesDesc, t.repeated, name, "answered")
		counter(duplicatesDesc, t.discards[DiscardDuplicateInProgress], name, "in_progress")
		for reason := Discard(1); reason < discardCount; reason++ {
			counter(discardsDesc, t.discards[reason], name, reason.String())
		}
		gauge(backlogDesc, t.backlog, name)
		gauge(floodsDesc, t.floods, name)
		gauge(tableEntriesDesc, t.entries, name)
		gauge(tableBytesDesc, t.bytes, name)
		gauge(inFlightDesc, t.inFlight, name)
	}
	for i, request := range requestCodes {
		var discarded uint64
		var answers [replyCodeCount]uint64
		for j := range services {
			discarded += services[j].discarded[i]
			for k := range answers {
				answers[k] += services[j].answers[i][k]
			}
		}
		counter(requestsDesc, discarded, request.String(), "discarded")
		for j, reply := range replyCodes {
			if reply.Answers(request) {
				counter(requestsDesc, answers[j], request.String(), reply.String())
			}
		}
		count, buckets := durations[i].cumulative()
		metrics <- prometheus.MustNewConstHistogram(durationDesc, count,
			time.Duration(durations[i].sum).Seconds(), buckets, request.String())
	}
	counter(panicsDesc, panics)
	queued, busy := s.pool.stats()
	gauge(queueLengthDesc, queued)
	gauge(queueLimitDesc, s.pool.queue.maximum)
	gauge(busyDesc, busy)
	gauge(delayedDesc, s.delays.len())
}

// serviceTotals sum the listeners of one service.
type serviceTotals struct {
	listeners, backlog, floods, entries, bytes, inFlight int
	received, sent, sendErrors, dropped, repeated        uint64
	discards                                             [discardCount]uint64
	discarded                                            [requestCodeCount]uint64
	answers                                              [requestCodeCount][replyCodeCount]uint64
}

func (t *serviceTotals) add(l *listener) {
	c := l.counters
	t.listeners++
	t.backlog += int(l.backlog.size.Load())
	t.floods += int(c.floods.Load())
	t.entries += int(l.table.size.Load())
	t.bytes += int(l.table.bytes.Load())
	t.inFlight += l.inFlight.held()
	t.received += c.received.Load()
	t.sent += c.sent.Load()
	t.sendErrors += c.sendErrors.Load()
	t.dropped += socketDrops(l.conn)
	t.repeated += c.repeated.Load()
	for i := range c.discards {
		t.discards[i] += c.discards[i].Load()
	}
	for i := range c.answers {
		t.discarded[i] += c.discarded[i].Load()
		for j := range c.answers[i] {
			t.answers[i][j] += c.answers[i][j].Load()
		}
	}
}

// histogramTotals sum histograms.
type histogramTotals struct {
	buckets [len(durationBuckets) + 1]uint64
	sum     int64
}

func (t *histogramTotals) add(h *histogram) {
	for i := range h.buckets {
		t.buckets[i] += h.buckets[i].Load()
	}
	t.sum += h.sum.Load()
}

func (t *histogramTotals) cumulative() (count uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(durationBuckets))
	for i, bound := range durationBuckets {
		count += t.buckets[i]
		buckets[bound] = count
	}
	return count + t.buckets[len(durationBuckets)], buckets
}
