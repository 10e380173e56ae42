package aaa

// LearnBoot tells of a boot that another node has taken in. It ends the sessions
// of the NAS here too, and begins an epoch, as if its record had come here. A boot
// that is known changes nothing.
func (l *LiveSessions) LearnBoot(b *Boot) {
	if l.resolver.Knows(b) {
		return
	}
	l.writer.Lock()
	defer l.writer.Unlock()
	l.applyBoot(&Record{Status: b.Status, NASID: b.NASID, NASAddr: b.NASAddr, NASIdentifier: b.NASIdentifier, EventTime: b.At})
}
