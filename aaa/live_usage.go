package aaa

import "time"

// liveUsage is what a user has used: ever, and in the day, week and month that
// were current when last something was added.
type liveUsage struct {
	ever  Usage
	spans [3]Usage // PeriodDay, PeriodWeek, PeriodMonth
	day   int64    // that day, in seconds since 1970
}

// calendar is the present day and the beginnings of the periods that it lies in.
type calendar struct {
	from, until int64 // the day, in seconds since 1970
	starts      [3]int64
}

// today returns the calendar of the time.
func (l *LiveSessions) today(at time.Time) *calendar {
	c := l.calendar.Load()
	if now := at.Unix(); c == nil || now < c.from || now >= c.until {
		day := StartOfDay(at, l.opt.Location)
		c = &calendar{from: day.Unix(), until: NextDay(day, l.opt.Location).Unix()}
		for i := range c.starts {
			c.starts[i] = startOfPeriod(PeriodDay+Period(i), at, l.opt.Location).Unix()
		}
		l.calendar.Store(c)
	}
	return c
}

// Used returns what the user has used in the period that contains at, open
// sessions included.
func (l *LiveSessions) Used(username string, period Period, at time.Time) Usage {
	c := l.today(at)
	shard := l.userShard(username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.set.get(username).used(period, c)
}

// used is for a user who may be nil. The caller holds the lock.
func (u *liveUser) used(period Period, c *calendar) Usage {
	if u == nil || u.usage == nil {
		return Usage{}
	}
	if period < PeriodDay || period > PeriodMonth {
		return u.usage.ever
	}
	if u.usage.day < c.starts[period-PeriodDay] {
		return Usage{} // nothing yet in this one
	}
	return u.usage.spans[period-PeriodDay]
}

// addUsage puts usage of a day on the user's account. The zero day is any day
// before the current periods; a day that has not begun yet is a clock that is
// ahead, and counts as today.
func (l *LiveSessions) addUsage(username string, day time.Time, u Usage) {
	if username == "" || u == (Usage{}) {
		return
	}
	shard := l.userShard(username)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.user(username).addUsage(l.today(l.opt.Now()), day, u)
}

// addStep puts what a record has added on the account of the user, who has sessions, or
// is nil.
func (l *LiveSessions) addStep(user *liveUser, t Step, now time.Time) {
	if user == nil || t.Usage == (Usage{}) {
		return
	}
	c := l.today(now)
	add := func(day time.Time, u Usage) {
		user.shard.mu.Lock()
		defer user.shard.mu.Unlock()
		user.addUsage(c, day, u)
	}
	if t.From.Unix() >= c.from && !t.To.Before(t.From) && t.To.Unix() < c.until {
		add(time.Unix(c.from, 0), t.Usage) // all of it today, as nearly always
		return
	}
	t.byDay(l.opt.Location, add)
}

// addUsage is for the caller who holds the lock.
func (user *liveUser) addUsage(c *calendar, day time.Time, u Usage) {
	if user.usage == nil {
		user.usage = new(liveUsage)
	}
	user.usage.ever.add(u)
	for i := range user.usage.spans {
		span := &user.usage.spans[i]
		if user.usage.day < c.starts[i] {
			*span = Usage{}
		}
		if !day.IsZero() && day.Unix() >= c.starts[i] {
			span.add(u)
		}
	}
	user.usage.day = max(user.usage.day, c.from)
}

// forgetUsage clears every user's account.
func (l *LiveSessions) forgetUsage() {
	for i := range l.users {
		shard := &l.users[i]
		shard.mu.Lock()
		for u := range shard.set.all() {
			u.usage = nil
		}
		shard.mu.Unlock()
	}
}
