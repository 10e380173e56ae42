package aaa

import "time"

// UsageByPeriod adds up a user's days in the periods that at lies in, by Period. A day
// that has not begun yet is a clock that is ahead, and counts as today.
func UsageByPeriod(days []DailyUsage, at time.Time, loc *time.Location) (used [PeriodCount]Usage) {
	for p := range used {
		start := startOfPeriod(Period(p), at, loc)
		for i := range days {
			if !days[i].Day.Before(start) {
				used[p].add(days[i].Usage)
			}
		}
	}
	return used
}

// QuotaUse is how far a quota of the present period is used up.
type QuotaUse struct {
	Period Period
	From   time.Time // when the period began; zero: ever
	Quota  Quota
	Used   Usage
	// SecondsLeft and OctetsLeft count where the quota limits them.
	SecondsLeft, OctetsLeft uint64
}

// Quotas returns the plan's quotas by Period. Items of a user or group may set others.
func (p *Plan) Quotas() (quotas [PeriodCount]Quota) {
	if int(p.QuotaPeriod) < PeriodCount {
		quotas[p.QuotaPeriod] = Quota{LimitsSeconds: p.QuotaSeconds > 0, Seconds: p.QuotaSeconds, LimitsOctets: p.QuotaOctets > 0, Octets: p.QuotaOctets}
	}
	return quotas
}

// QuotasLeft tells what is left of those quotas that limit, in the order of Period.
func QuotasLeft(quotas [PeriodCount]Quota, used [PeriodCount]Usage, at time.Time, loc *time.Location) []QuotaUse {
	var list []QuotaUse
	for p, quota := range quotas {
		if !quota.Limits() {
			continue
		}
		u := QuotaUse{Period: Period(p), From: startOfPeriod(Period(p), at, loc), Quota: quota, Used: used[p]}
		if quota.LimitsSeconds {
			u.SecondsLeft = quota.Seconds - min(quota.Seconds, u.Used.Seconds)
		}
		if quota.LimitsOctets {
			u.OctetsLeft = quota.Octets - min(quota.Octets, u.Used.Octets())
		}
		list = append(list, u)
	}
	return list
}
