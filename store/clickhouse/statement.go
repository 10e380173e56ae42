package clickhouse

import (
	"fmt"
	"strings"
)

// alterTTL returns the statement that makes a table keep its rows for days, 0 for
// good; empty: its definition says so already.
func alterTTL(s schema, t aged, days int, definition string) string {
	alter := strings.TrimSpace("ALTER TABLE "+s.local(t.table)+" "+s.onCluster()) + " "
	switch has := strings.Contains(definition, "\nTTL ") || strings.Contains(definition, " TTL "); {
	case days > 0 && !strings.Contains(definition, "TTL "+t.ttl(days)):
		return alter + "MODIFY TTL " + t.ttl(days)
	case days == 0 && has:
		return alter + "REMOVE TTL"
	}
	return ""
}

// oldMonths lists the partitions before a day that hold nothing received since.
func oldMonths(s schema, t aged) string {
	return fmt.Sprintf("SELECT toYYYYMM(%[1]s) AS part FROM %[2]s WHERE toYYYYMM(%[1]s) < toYYYYMM(toDate(?)) GROUP BY part HAVING max(toDate(%[3]s)) < toDate(?) ORDER BY part",
		t.partition, s.qualified(t.table), t.age)
}

func dropPartition(s schema, table string, month uint32) string {
	return strings.TrimSpace(fmt.Sprintf("ALTER TABLE %s %s", s.local(table), s.onCluster())) + fmt.Sprintf(" DROP PARTITION %d", month)
}
