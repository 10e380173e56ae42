package aaa

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"radiusd/dictionary"
)

// controls are what check items set rather than compare: how the user is to be
// authenticated and within which limits. A field counts only if its bit is set.
type controls struct {
	set             controlSet
	authType        authType
	methods         MethodSet // allowed methods
	simultaneousUse int       // zero: not limited
	expiration      time.Time
	loginHours      *LoginHours
	seconds         [periodCount]uint64 // online time allowed per period
	octets          [periodCount]uint64
}

// controlSet has a bit for each field of controls that is set.
type controlSet uint32

const (
	controlAuthType controlSet = 1 << iota
	controlMethods
	controlSimultaneousUse
	controlExpiration
	controlLoginHours
	controlSeconds // shifted by the period
)

const (
	periodCount   = PeriodCount
	controlOctets = controlSeconds << periodCount
)

// authType is what Auth-Type decides without regard to the password.
type authType uint8

const (
	authTypeCheck authType = iota // as usual
	authTypeAccept
	authTypeReject
)

// inherit takes from controls of lower precedence, which may be nil, what is not
// set here.
func (c *controls) inherit(lower *controls) {
	if lower == nil {
		return
	}
	missing := lower.set &^ c.set
	if missing == 0 {
		return
	}
	if missing&controlAuthType != 0 {
		c.authType = lower.authType
	}
	if missing&controlMethods != 0 {
		c.methods = lower.methods
	}
	if missing&controlSimultaneousUse != 0 {
		c.simultaneousUse = lower.simultaneousUse
	}
	if missing&controlExpiration != 0 {
		c.expiration = lower.expiration
	}
	if missing&controlLoginHours != 0 {
		c.loginHours = lower.loginHours
	}
	for p := range periodCount {
		if missing&(controlSeconds<<p) != 0 {
			c.seconds[p] = lower.seconds[p]
		}
		if missing&(controlOctets<<p) != 0 {
			c.octets[p] = lower.octets[p]
		}
	}
	c.set |= missing
}

// controlItem is a check item that sets a field of controls.
type controlItem struct {
	name string
	set  controlSet
	read func(c *controls, value string) error
}

// controlItems are the ones there are; see docs/policy.md.
var controlItems = listControlItems()

func listControlItems() []controlItem {
	items := []controlItem{
		{"Auth-Type", controlAuthType | controlMethods, readAuthType},
		{"Simultaneous-Use", controlSimultaneousUse, func(c *controls, value string) error {
			n, err := strconv.ParseUint(value, 10, 31)
			c.simultaneousUse = int(n)
			return numberError(err, value)
		}},
		{"Expiration", controlExpiration, nil}, // a date, read by the dictionary
		{"Login-Time", controlLoginHours, func(c *controls, value string) (err error) {
			c.loginHours, err = ParseLoginHours(value)
			return err
		}},
	}
	for period, name := range [periodCount]string{"All", "Daily", "Weekly", "Monthly"} {
		items = append(items,
			controlItem{"Max-" + name + "-Session", controlSeconds << period, func(c *controls, value string) (err error) {
				c.seconds[period], err = strconv.ParseUint(value, 10, 63)
				return numberError(err, value)
			}},
			controlItem{"Max-" + name + "-Octets", controlOctets << period, func(c *controls, value string) (err error) {
				c.octets[period], err = strconv.ParseUint(value, 10, 63)
				return numberError(err, value)
			}})
	}
	return items
}

func numberError(err error, value string) error {
	if err != nil {
		return fmt.Errorf("%q is not a whole number", value)
	}
	return nil
}

// readAuthType reads Auth-Type. Types that name a method allow only that one.
func readAuthType(c *controls, value string) error {
	c.authType, c.methods = authTypeCheck, 0 // a second one replaces the first whole
	switch strings.ToLower(value) {
	case "accept":
		c.authType = authTypeAccept
	case "reject":
		c.authType = authTypeReject
	case "local", "system":
		// By whatever the credential serves, as without Auth-Type.
	case "pap":
		c.methods = 1 << MethodPAP
	case "chap":
		c.methods = 1 << MethodCHAP
	case "ms-chap", "mschap":
		c.methods = 1<<MethodMSCHAP | 1<<MethodMSCHAPv2
	case "eap":
		c.methods = 1 << MethodEAP
	default:
		return fmt.Errorf("unknown type %q: want Accept, Reject, Local, PAP, CHAP, MS-CHAP or EAP", value)
	}
	return nil
}

// readControl applies a check item to c if it is one that sets a control
// attribute, whatever of the operators ==, :=, = and += it has: FreeRADIUS's users
// write all of them. The operator = leaves what is set.
func (c *controls) readControl(dict *dictionary.Dictionary, item Item) (known bool, err error) {
	for _, control := range controlItems {
		if !strings.EqualFold(control.name, item.Attribute) {
			continue
		}
		switch item.Op {
		case ":=", "+=", "==":
		case "=":
			if c.set&control.set != 0 {
				return true, nil
			}
		default:
			return true, fmt.Errorf("operator %s does not set it: want := or ==", item.Op)
		}
		value := strings.TrimSpace(item.Value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		if control.read != nil {
			err = control.read(c, value)
		} else {
			c.expiration, err = parseExpiration(dict, value)
		}
		if err != nil {
			return true, err
		}
		c.set |= control.set
		if control.set&controlMethods != 0 && c.methods == 0 {
			c.set &^= controlMethods // a type that names no method leaves the plan's
		}
		return true, nil
	}
	return false, nil
}

// parseExpiration reads a date in any form the dictionary knows. A date without a
// time of day means the first moment of that day, as in FreeRADIUS.
func parseExpiration(dict *dictionary.Dictionary, value string) (time.Time, error) {
	attribute, ok := dict.ByName("Event-Timestamp")
	if !ok {
		return time.Time{}, fmt.Errorf("the dictionary has no attribute Event-Timestamp of type date")
	}
	wire, err := attribute.ParseValue(value)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a date such as 2030-01-31 or Jan 31 2030 12:00:00", value)
	}
	seconds, _ := attribute.Uint(wire)
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// planControls are a plan's own fields as controls.
func planControls(p *Plan) (controls, error) {
	var c controls
	if p.AllowedMethods != 0 {
		c.methods, c.set = p.AllowedMethods, c.set|controlMethods
	}
	if p.SimultaneousUse > 0 {
		c.simultaneousUse, c.set = p.SimultaneousUse, c.set|controlSimultaneousUse
	}
	hours, err := ParseLoginHours(p.LoginHours)
	if err != nil {
		return c, err
	}
	if hours != nil {
		c.loginHours, c.set = hours, c.set|controlLoginHours
	}
	if int(p.QuotaPeriod) >= periodCount {
		return c, fmt.Errorf("unknown quota period %d", p.QuotaPeriod)
	}
	if p.QuotaSeconds > 0 {
		c.seconds[p.QuotaPeriod], c.set = p.QuotaSeconds, c.set|controlSeconds<<p.QuotaPeriod
	}
	if p.QuotaOctets > 0 {
		c.octets[p.QuotaPeriod], c.set = p.QuotaOctets, c.set|controlOctets<<p.QuotaPeriod
	}
	return c, nil
}

// quotas writes what is limited.
func (c *controls) quotas(list *[PeriodCount]Quota) {
	for p := range list {
		list[p] = Quota{
			LimitsSeconds: c.set&(controlSeconds<<p) != 0, Seconds: c.seconds[p],
			LimitsOctets: c.set&(controlOctets<<p) != 0, Octets: c.octets[p],
		}
	}
}
