package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/journal"
)

// metrics are those of the whole Ingest.
type metrics struct {
	gaps      prometheus.Counter
	malformed prometheus.Counter
}

// sinkMetrics are those of one sink.
type sinkMetrics struct {
	batches, records, errors, quarantined, rewinds prometheus.Counter
	size, seconds                                  prometheus.Observer
}

// newMetrics makes the metrics and registers them if there is a registerer.
func newMetrics(i *Ingest) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	bySink := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"sink"})
	}
	m := &metrics{
		gaps:      counter("radiusd_ingest_gaps_total", "Cursors that pointed to records the journal no longer or not yet holds."),
		malformed: counter("radiusd_ingest_malformed_attributes_total", "Attributes of accounting records that were left out because their value is malformed."),
	}
	batches := bySink("radiusd_ingest_batches_total", "Batches written.")
	records := bySink("radiusd_ingest_records_total", "Accounting records written.")
	failures := bySink("radiusd_ingest_errors_total", "Failures to read the journal or to write to a sink.")
	quarantined := bySink("radiusd_ingest_quarantined_total", "Accounting records put into the quarantine file.")
	rewinds := bySink("radiusd_ingest_rewinds_total", "Times that a sink's cursor was found elsewhere than it was left, after its database lost transactions.")
	size := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "radiusd_ingest_batch_records", Help: "Accounting records in a batch.",
		Buckets: prometheus.ExponentialBuckets(1, 4, 9),
	}, []string{"sink"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "radiusd_ingest_write_seconds", Help: "Time a sink took for a batch.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
	}, []string{"sink"})
	for _, s := range i.sinks {
		name := s.sink.Name()
		s.gauge = sinkMetrics{
			batches: batches.WithLabelValues(name), records: records.WithLabelValues(name),
			errors: failures.WithLabelValues(name), quarantined: quarantined.WithLabelValues(name), rewinds: rewinds.WithLabelValues(name),
			size: size.WithLabelValues(name), seconds: seconds.WithLabelValues(name),
		}
	}
	if i.opt.Registerer != nil {
		i.opt.Registerer.MustRegister(m.gaps, m.malformed, batches, records, failures, quarantined, rewinds, size, seconds, newCollector(i))
	}
	return m
}

// collector reads the journal's state and the sinks' lags when it is asked.
type collector struct {
	in      *Ingest
	journal []journalMetric
	liveLag *prometheus.Desc
	records *prometheus.Desc // by sink, like those below
	bytes   *prometheus.Desc
	seconds *prometheus.Desc
}

// journalMetric is one number of the journal's Stats.
type journalMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(journal.Stats) float64
}

func newCollector(i *Ingest) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	c := &collector{
		in:      i,
		liveLag: desc("radiusd_ingest_live_lag_bytes", "Octets of the journal that the live sessions have not seen."),
		records: desc("radiusd_ingest_lag_records", "Accounting records in the journal that the sink has not taken, estimated from their mean length.", "sink"),
		bytes:   desc("radiusd_ingest_lag_bytes", "Octets of the journal that the sink has not taken.", "sink"),
		seconds: desc("radiusd_ingest_lag_seconds", "Age of the oldest accounting record that the sink is at and has not taken.", "sink"),
	}
	for _, m := range []struct {
		name, help string
		kind       prometheus.ValueType
		value      func(journal.Stats) float64
	}{
		{"bytes", "What the journal takes on disk.", prometheus.GaugeValue, func(s journal.Stats) float64 { return float64(s.Bytes) }},
		{"limit_bytes", "At this size the journal takes no more records.", prometheus.GaugeValue, func(s journal.Stats) float64 { return float64(s.MaxBytes) }},
		{"nearly_full", "1 from 80 % of the limit on until less than 70 % is taken.", prometheus.GaugeValue, func(s journal.Stats) float64 {
			if s.NearlyFull {
				return 1
			}
			return 0
		}},
		{"damaged", "1 while a segment that cannot be read keeps records from the stores.", prometheus.GaugeValue, func(s journal.Stats) float64 {
			if s.Damage != nil {
				return 1
			}
			return 0
		}},
		{"segments", "Segment files of the journal.", prometheus.GaugeValue, func(s journal.Stats) float64 { return float64(s.Segments) }},
		{"oldest_position", "Position of the oldest record that the journal holds.", prometheus.GaugeValue, func(s journal.Stats) float64 { return float64(s.Oldest) }},
		{"end_position", "Position behind the last committed record.", prometheus.GaugeValue, func(s journal.Stats) float64 { return float64(s.End) }},
		{"pending_bytes", "Octets that wait to be on stable storage.", prometheus.GaugeValue, func(s journal.Stats) float64 { return float64(s.Pending) }},
		{"healthy", "1 while the journal can be written, 0 while its device fails.", prometheus.GaugeValue, func(s journal.Stats) float64 {
			if s.Err != nil {
				return 0
			}
			return 1
		}},
		{"records_total", "Records committed.", prometheus.CounterValue, func(s journal.Stats) float64 { return float64(s.Records) }},
		{"groups_total", "Groups of records committed, each with one sync.", prometheus.CounterValue, func(s journal.Stats) float64 { return float64(s.Groups) }},
		{"refused_total", "Records refused because of a limit or a failure.", prometheus.CounterValue, func(s journal.Stats) float64 { return float64(s.Refused) }},
		{"failures_total", "Groups that could not be committed.", prometheus.CounterValue, func(s journal.Stats) float64 { return float64(s.Failures) }},
		{"commit_seconds_total", "Time spent writing and syncing the committed groups.", prometheus.CounterValue, func(s journal.Stats) float64 { return s.CommitTime.Seconds() }},
	} {
		c.journal = append(c.journal, journalMetric{desc("radiusd_journal_"+m.name, m.help), m.kind, m.value})
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.journal {
		ch <- m.desc
	}
	for _, d := range []*prometheus.Desc{c.liveLag, c.records, c.bytes, c.seconds} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.in.opt.Journal.Stats()
	for _, m := range c.journal {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(stats))
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.liveLag, behind(max(c.in.applied.get(), stats.Oldest), stats.End))
	for _, s := range c.in.sinks {
		// Before the sink's cursor is known, it is behind by what the journal holds.
		lag := behind(max(journal.Position(s.taken.Load()), stats.Oldest), stats.End)
		gauge(c.bytes, lag, s.sink.Name())
		gauge(c.records, lag/s.meanLength(), s.sink.Name())
		gauge(c.seconds, s.lag(time.Now()).Seconds(), s.sink.Name())
	}
}

func behind(pos, end journal.Position) float64 { return float64(end - min(pos, end)) }
