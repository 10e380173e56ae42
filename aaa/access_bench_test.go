package aaa

import (
	"testing"
	"time"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// BenchmarkDecision is an Access-Request from identify to the filled-in reply, on
// the listener, without its sockets and signatures.
func BenchmarkDecision(b *testing.B) {
	w := newWorld(b, withRecords(b), func(o *AccessOptions) { o.Now = nil })
	w.nas.Vendor = "mikrotik"
	w.store.putNAS(w.nas)
	plan := w.store.putPlan(Plan{Name: "basic", RateUp: 1e7, RateDown: 5e7, SessionTimeout: time.Hour, InterimInterval: 5 * time.Minute, AddressPool: "pool1", LoginHours: "Al0000-2300"})
	w.addUser(User{Name: "plain", Credential: cleartext("wonderland"), PlanID: plan.ID})
	w.addUser(User{Name: "items", Credential: cleartext("wonderland"), PlanID: plan.ID, Items: []Item{
		checkItem("NAS-Port-Type", "==", "Ethernet"), replyItem("Framed-IP-Address", ":=", "10.0.0.7"),
	}})
	for _, name := range []string{"plain", "items", "unknown"} {
		b.Run(name, func(b *testing.B) {
			server := radiustest.NewServer(b, radius.HandlerFunc(func(reply *radius.Reply, r *radius.Request) {
				a := w.access
				b.ReportAllocs()
				for b.Loop() {
					x := a.exchanges.Get().(*exchange)
					x.begin(a, r, false)
					d := a.decide(x)
					if d.Accepted() {
						if err := a.accept(reply, x); err != nil {
							panic(err)
						}
					}
					a.decisions[d.Method][d.Reason].Inc()
					a.options.Records.add(x, d)
					reply.Reset()
					x.release()
					a.exchanges.Put(x)
				}
				reply.Send()
			}), func(s *radius.Server) { s.NASes = w.directory })
			w.server = server
			m := &radius.Message{Code: radius.AccessRequest}
			m.AddString(radius.TypeUserName, name)
			if err := m.AddUserPassword([]byte(testSecret), "wonderland"); err != nil {
				b.Fatal(err)
			}
			w.add(m, `NAS-Port = 1, NAS-Port-Type = Ethernet, NAS-Port-Id = "ether1", Calling-Station-Id = "00-1A-2B-3C-4D-5E", NAS-IP-Address = 10.0.0.1`)
			if _, err := w.client.Exchange(b.Context(), server.Auth, []byte(testSecret), m); err != nil {
				b.Fatal(err)
			}
		})
	}
}
