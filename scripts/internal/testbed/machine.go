package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// firstLine is the first line that a program prints, as programs print their versions.
func firstLine(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return filepath.Base(name) + " (unknown)"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// cpuModel is the name of the machine's processor.
func cpuModel() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// kernel is the name and the release of the kernel.
func kernel() string {
	content, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(content))
}

// Heading is what a report in Markdown begins with: the machine and the day, the versions
// of what was measured, remarks, each on a line, and the command line that measured, with
// the program's name as given.
func Heading(program string, versions []string, remarks ...string) string {
	lines := []string{fmt.Sprintf("%s, %d cores, %s, %s; %s.", cpuModel(), runtime.NumCPU(), kernel(), runtime.Version(), time.Now().UTC().Format("2 January 2006"))}
	lines = append(lines, strings.Join(versions, ", ")+".")
	lines = append(lines, remarks...)
	return strings.Join(append(lines, "", "`"+strings.Join(append([]string{program}, os.Args[1:]...), " ")+"`", ""), "\n")
}

// RadiusdVersion is what a radiusd calls itself.
func RadiusdVersion(program string) string {
	return "radiusd " + strings.TrimSpace(strings.TrimPrefix(firstLine(program, "version"), "version"))
}

// PostgresVersion is what Postgres calls itself.
func PostgresVersion() string {
	bin, err := postgresPrograms()
	if err != nil {
		return "Postgres (unknown)"
	}
	return firstLine(filepath.Join(bin, "postgres"), "--version")
}

// FreeRADIUSVersion is what FreeRADIUS calls itself.
func FreeRADIUSVersion() string {
	line, _, _ := strings.Cut(firstLine("freeradius", "-v"), ",")
	return strings.TrimPrefix(line, "radiusd: ")
}

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// stats yields the process ids of the machine, each with the fields of its stat from the
// state on (proc(5)).
func stats(yield func(pid int, fields []string) bool) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		text := string(content)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if !yield(pid, strings.Fields(text[strings.LastIndexByte(text, ')')+1:])) {
			return
		}
	}
}

// CPU returns the CPU time of the process and of its children, living and dead; zero of
// nil. It is exact to ten milliseconds for each of them.
func (p *Process) CPU() time.Duration {
	if p == nil {
		return 0
	}
	root := strconv.Itoa(p.PID())
	var total int64
	for pid, fields := range stats {
		times := fields[11:13] // utime, stime
		switch {
		case pid == p.PID():
			times = fields[11:15] // and those of children that have ended
		case fields[1] != root: // Postgres and its backends, the others have none
			continue
		}
		for _, text := range times {
			n, _ := strconv.ParseInt(text, 10, 64)
			total += n
		}
	}
	return time.Duration(total) * tick
}

// family is the process and its children.
func (p *Process) family() []int {
	pids := []int{p.PID()}
	for pid, fields := range stats {
		if fields[1] == strconv.Itoa(p.PID()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Resident returns the memory of the process, in bytes.
func (p *Process) Resident() int64 {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(content))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
