//go:build linux

package main

import "fmt"

// printDisturbed prints what disturbances did.
func (b *bench) printDisturbed(p func(string, ...any)) {
	b.printServerDisturbed(p, disturbedServer, "disturbed-not")
	b.printServerDisturbed(p, readServer, "disturbed-reads-not")
	b.printReadsAlone(p)
}

// printServerDisturbed prints the latency of a server under each disturbance, and its ratio to
// that of the control.
func (b *bench) printServerDisturbed(p func(string, ...any), server, control string) {
	var disturbed []*contestant
	var crowds []float64
	for _, c := range b.disturbed {
		if c.server == server {
			disturbed = append(disturbed, c)
			for _, round := range b.under {
				crowds = append(crowds, round[c.name].effect.crowd)
			}
		}
	}
	if len(disturbed) == 0 {
		return
	}
	where := ""
	if b.nice != 0 && !b.shared(server) {
		where = ", the load in real time"
	}
	if b.shared(server) {
		at := b.placesFor(server)
		where = fmt.Sprintf(", which share its core %s, while Postgres and the admin API have core %s", at.server, at.stores)
		if b.nice != 0 {
			where += " and who reads what is left of the first, where all else runs in real time"
		}
	}
	_, crowd, _ := median(crowds)
	p("radiusd at half its peak of %.0f PAP requests a second: %.0f from a crowd of %d NASes and %d from %d others, whose latency this is, from when a request was due%s; and meanwhile:\n", b.peaks[server], crowd, crowdNASes, victimRate, b.sockets, where)
	p("| | p50 ms | p99 ms | p50, ratio | p99, ratio | lost | server's core | others on it | ready and waiting for it | the disturbance |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
	p50 := func(r *result) float64 { return r.P50.Seconds() * 1000 }
	p99 := func(r *result) float64 { return r.P99.Seconds() * 1000 }
	for _, c := range disturbed {
		over := func(figure func(*result) float64) (values []float64) {
			for _, round := range b.under {
				values = append(values, figure(round[c.name]))
			}
			return values
		}
		ratio := func(figure func(*result) float64) string {
			var values []float64
			for _, round := range b.under {
				if calm := round[control]; calm != nil && c.disturbance != nothing {
					values = append(values, figure(round[c.name])/figure(calm))
				}
			}
			if values == nil {
				return ""
			}
			return spread("%.2f", values)
		}
		var what string
		switch c.disturbance {
		case floodElsewhere, floodServer:
			what = spread("%.0f", over(func(r *result) float64 { return r.effect.flooded })) + " a second"
			if c.disturbance == floodServer {
				what += ", answered " + spread("%.0f", over(func(r *result) float64 { return r.effect.answered }))
			}
		case updateElsewhere, updateUsers:
			what = "committed after " + spread("%.1f", over(func(r *result) float64 { return r.effect.updated.Seconds() })) + " s"
			if c.disturbance == updateUsers {
				what += ", in force " + spread("%.1f", over(func(r *result) float64 { return r.effect.inForce.Seconds() })) + " s later"
			}
		case readElsewhere, readAPI:
			what = spread("%.0f", over(func(r *result) float64 { return r.effect.reads.PerSecond })) + " a second, p99 " +
				spread("%.1f", over(func(r *result) float64 { return r.effect.reads.P99.Seconds() * 1000 })) + " ms, failed " +
				spread("%.0f", over(func(r *result) float64 { return float64(r.effect.reads.Failed) }))
		}
		lost := 0.0
		for _, n := range over(func(r *result) float64 { return float64(r.Lost) }) {
			lost += n
		}
		_, busy, _ := median(over(func(r *result) float64 { server, _ := r.busy(); return 100 * server }))
		p("| %s | %s | %s | %s | %s | %.0f | %.0f %% | %s %% | %s %% | %s |", c.title, spread("%.2f", over(p50)), spread("%.2f", over(p99)), ratio(p50), ratio(p99), lost, busy, spread("%.1f", over(func(r *result) float64 { return 100 * r.others() })), spread("%.0f", over((*result).waited)), what)
	}
	p("")
}

// printReadsAlone prints what the admin API does where nothing else is done.
func (b *bench) printReadsAlone(p func(string, ...any)) {
	if len(b.alone) == 0 {
		return
	}
	over := func(figure func(reads) float64) string {
		var values []float64
		for _, r := range b.alone {
			values = append(values, figure(r))
		}
		return spread("%.0f", values)
	}
	p("The admin API and Postgres on one core, and radiusd with nothing to do: %s reads a second; CPU a read: the API %s µs, Postgres %s µs.\n",
		over(func(r reads) float64 { return r.PerSecond }), over(func(r reads) float64 { return r.perRead(r.APICPU) }), over(func(r reads) float64 { return r.perRead(r.PostgresCPU) }))
}
