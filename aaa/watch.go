package aaa

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"radiusd/dictionary"
	"radiusd/radius"
)

// WatchFilter picks the decisions to watch. What is empty matches all.
type WatchFilter struct {
	User string // User-Name as sent, or the user's name in the directory
	NAS  string // the NAS's name or address
}

// Event is one decision with what led to it, for an operator who watches. Secrets
// are not in it.
type Event struct {
	At       time.Time
	Username string // as sent
	User     string // the user's name in the directory; empty: unknown
	Plan     string
	NAS      string
	Source   netip.AddrPort
	Decision Decision
	// Rules are the items and limits that took part, highest precedence first.
	Rules []string
	// Request and Reply are attributes as text, with secrets masked.
	Request []string
	Reply   []string
	// Took is the time from receipt to decision.
	Took time.Duration
	// Missed is how many events before this one the reader was too slow for.
	Missed int
}

// watchBuffer is how many events wait for a reader.
const watchBuffer = 64

// watches are those who watch. Nobody pays for them while there are none.
type watches struct {
	active atomic.Bool
	mu     sync.Mutex
	list   []*watch
}

type watch struct {
	filter WatchFilter
	events chan Event
	missed int
}

// Watch streams decisions that match the filter until cancel is called, which
// closes the channel. A reader that is too slow misses events; it never slows an
// answer.
func (a *Access) Watch(filter WatchFilter) (events <-chan Event, cancel func()) {
	w := &watch{filter: filter, events: make(chan Event, watchBuffer)}
	a.watches.mu.Lock()
	a.watches.list = append(a.watches.list, w)
	a.watches.active.Store(true)
	a.watches.mu.Unlock()
	return w.events, sync.OnceFunc(func() {
		a.watches.mu.Lock()
		defer a.watches.mu.Unlock()
		a.watches.list = slices.DeleteFunc(a.watches.list, func(other *watch) bool { return other == w })
		a.watches.active.Store(len(a.watches.list) > 0)
		close(w.events)
	})
}

// publish gives the decision to those who watch for it.
func (ws *watches) publish(a *Access, w *radius.Reply, x *exchange, d Decision) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var event Event
	for _, watch := range ws.list {
		if !watch.filter.matches(x) {
			continue
		}
		if event.At.IsZero() {
			event = a.event(w, x, d)
		}
		event.Missed = watch.missed
		select {
		case watch.events <- event:
			watch.missed = 0
		default:
			watch.missed++
		}
	}
}

func (f *WatchFilter) matches(x *exchange) bool {
	if f.User != "" && f.User != string(x.name()) && (x.account == nil || f.User != x.account.name()) {
		return false
	}
	if f.NAS == "" {
		return true
	}
	return f.NAS == x.request.NAS.Name || f.NAS == x.request.Source.Addr().String() || f.NAS == x.nasAddr().String()
}

// event describes a decision.
func (a *Access) event(w *radius.Reply, x *exchange, d Decision) Event {
	event := Event{
		At:       x.request.Received,
		Username: string(storable(x.name())),
		NAS:      x.request.NAS.Name,
		Source:   x.request.Source,
		Decision: d,
		Rules:    x.rules(),
		Request:  a.attributesText(x.attributes, x.shown),
		Reply:    a.attributesText(w.Attributes(), nil),
		Took:     time.Since(x.request.Received),
	}
	if x.account != nil {
		event.User = x.account.name()
	}
	if x.plan != nil {
		event.Plan = x.plan.plan.Name
	}
	return event
}

// rules lists what took part in the decision.
func (x *exchange) rules() []string {
	var rules []string
	add := func(level string, p *policy) {
		for _, item := range p.items {
			rules = append(rules, level+": "+item.Kind.String()+" "+item.masked(x.query.dict))
		}
	}
	if x.account == nil {
		return nil
	}
	rules = append(rules, "user: status "+x.account.status.String())
	if expires := x.account.expiresAt(); !expires.IsZero() {
		rules = append(rules, "user: expires "+expires.Format(time.RFC3339))
	}
	if own := x.account.rules; own != nil {
		add("user", &own.policy)
		for _, place := range own.groups {
			group := x.catalog.group(place)
			switch {
			case group == nil:
			case slices.Contains(x.groups, &group.policy):
				add("group "+group.group.Name, &group.policy)
			default:
				rules = append(rules, "group "+group.group.Name+": does not apply")
			}
		}
	}
	if x.plan != nil {
		add("plan "+x.plan.plan.Name, &x.plan.policy)
		rules = append(rules, x.plan.plan.limitsText()...)
	}
	return rules
}

// limitsText lists a plan's own limits.
func (p *Plan) limitsText() []string {
	var list []string
	for _, limit := range p.limits() {
		list = append(list, "plan "+p.Name+": "+limit.text)
	}
	return list
}

// planLimit is one of a plan's own limits, and the control that it sets.
type planLimit struct {
	set  controlSet
	text string
}

func (p *Plan) limits() []planLimit {
	var list []planLimit
	if p.SimultaneousUse > 0 {
		list = append(list, planLimit{controlSimultaneousUse, "simultaneous use " + strconv.Itoa(p.SimultaneousUse)})
	}
	if p.LoginHours != "" {
		list = append(list, planLimit{controlLoginHours, "login hours " + p.LoginHours})
	}
	if p.AllowedMethods != 0 {
		list = append(list, planLimit{controlMethods, "methods " + p.AllowedMethods.String()})
	}
	if p.QuotaSeconds > 0 {
		list = append(list, planLimit{controlSeconds << p.QuotaPeriod, "quota " + strconv.FormatUint(p.QuotaSeconds, 10) + " s, period " + p.QuotaPeriod.String()})
	}
	if p.QuotaOctets > 0 {
		list = append(list, planLimit{controlOctets << p.QuotaPeriod, "quota " + strconv.FormatUint(p.QuotaOctets, 10) + " octets, period " + p.QuotaPeriod.String()})
	}
	return list
}

// attributesText shows attributes with secrets masked, and another User-Name unless
// username is nil.
func (a *Access) attributesText(attributes radius.Attributes, username []byte) []string {
	pairs, err := a.options.Dictionary.ParseWire(attributes, nil)
	if err != nil {
		return nil
	}
	list := make([]string, 0, len(pairs))
	for _, pair := range pairs {
		if username != nil && len(pair.Attr.OID) == 1 && pair.Attr.OID[0] == uint32(radius.TypeUserName) {
			list = append(list, pair.Attr.Name+" = "+strconv.Quote(string(storable(username))))
			continue
		}
		if masked(pair.Attr) || maskedText(string(pair.Value)) {
			list = append(list, nameOf(a.options.Dictionary, pair.Attr)+" = …")
			continue
		}
		list = append(list, pair.String())
	}
	return list
}

// nameOf names an attribute that was not deciphered and so came under its number.
func nameOf(dict *dictionary.Dictionary, a *dictionary.Attribute) string {
	if a.Unknown {
		known, ok := a, false
		switch {
		case len(a.OID) == 1:
			known, ok = dict.ByType(uint8(a.OID[0]))
		case len(a.OID) == 3 && a.OID[0] == uint32(radius.TypeVendorSpecific):
			known, ok = dict.ByVendor(a.OID[1], a.OID[2])
		}
		if ok {
			return known.Name
		}
	}
	return a.Name
}

// masked reports whether a value is a secret, or would let one be guessed offline.
func masked(a *dictionary.Attribute) bool {
	if a.Secret || a.Encrypt != dictionary.EncryptNone || isCredentialAttribute(a) {
		return true
	}
	switch {
	case len(a.OID) == 1:
		switch radius.Type(a.OID[0]) {
		case radius.TypeUserPassword, radius.TypeCHAPPassword, radius.TypeCHAPChallenge, radius.TypeTunnelPassword,
			radius.TypeEAPMessage, radius.TypeState, radius.TypeARAPPassword, radius.TypeARAPChallengeResponse,
			radius.TypeMessageAuthenticator, radius.TypeVendorSpecific:
			return true
		}
	case len(a.OID) > 1 && a.OID[0] == uint32(radius.TypeVendorSpecific) && a.OID[1] == radius.VendorMicrosoft:
		return true // challenges, responses and keys, nearly all of them
	}
	// What the dictionary does not know may be anything.
	return a.Unknown || maskedText(a.Name)
}

// maskedText reports whether an attribute's name, or a text such as that of
// Cisco-AVPair, tells of a secret.
func maskedText(s string) bool {
	s = strings.ToLower(s)
	for _, word := range []string{"password", "passphrase", "psk", "secret", "-key", "enc-key"} {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}

// masked writes an item as quoted does, without a value that is a secret.
func (i Item) masked(dict *dictionary.Dictionary) string {
	if i.Secret(dict) {
		return i.Attribute + " " + i.Op + " …"
	}
	return i.quoted()
}

// Secret reports whether the item's value is not to be shown to who may not change it:
// the attribute is hidden in packets, is called like a secret, or is none that the
// dictionary knows, or the value tells of a secret, as a Cisco-AVPair may.
func (i Item) Secret(dict *dictionary.Dictionary) bool {
	name, _, _ := strings.Cut(i.Attribute, ":")
	attribute, err := dict.Resolve(strings.TrimSpace(name))
	return err != nil || masked(attribute) || maskedText(i.Value)
}
