//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the CPU time of all threads of a process, those that have ended
// included, user and system, in nanoseconds as the scheduler counts them: the clock
// that clock_getcpuclockid(3) names.
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// delayOf returns how long the threads of a process that are there have been ready to run
// and waited for a CPU: what a busy machine takes from them (/proc/PID/schedstat).
func delayOf(pid int) (total time.Duration) {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if fields := strings.Fields(string(content)); err == nil && len(fields) > 1 {
			ns, _ := strconv.ParseInt(fields[1], 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// A clocks is CPU time that has passed.
type clocks struct {
	server time.Duration // of a process
	own    time.Duration // of this one
	core   time.Duration // of everything on a CPU, and what the hypervisor took
}

// readClocks reads those of a process and of the CPU that is its own.
func readClocks(pid int, cpu string) (c clocks, err error) {
	if pid != 0 {
		if c.server, err = cpuOf(pid); err != nil {
			return c, err
		}
	}
	if c.own, err = cpuOf(os.Getpid()); err != nil || cpu == "" {
		return c, err
	}
	stat, err := os.ReadFile("/proc/stat")
	c.core = busyOf(string(stat), cpu)
	return c, err
}

// busyOf returns the time that a CPU was not idle, as /proc/stat has it, in steps of ten
// milliseconds. What it does not tell of is zero.
func busyOf(stat, cpu string) (total time.Duration) {
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 9 || fields[0] != "cpu"+cpu {
			continue
		}
		for i, field := range fields[1:9] {
			if i == 3 || i == 4 { // idle, or waiting for a disk
				continue
			}
			ticks, _ := strconv.ParseInt(field, 10, 64)
			total += time.Duration(ticks) * (time.Second / 100)
		}
	}
	return total
}

// cores are the CPUs that this program may use, one of each core: a second thread of the
// same core would slow down the first one.
func cores() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return []int{0}
	}
	var list []int
	seen := map[string]bool{}
	for cpu := range 1024 {
		if !set.IsSet(cpu) {
			continue
		}
		siblings, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
		if core := strings.TrimSpace(string(siblings)); err == nil && seen[core] {
			continue
		} else if err == nil {
			seen[core] = true
		}
		list = append(list, cpu)
	}
	return list
}

// places are where processes run, as taskset has them.
type places struct{ server, two, generator, stores, reader string }

// placesOf distributes the cores: one for the server, one more for the server that has
// two, one for the load generator, and the rest for the stores. Where there are too few,
// the second, the generator and the stores share the last one.
func placesOf(cores []int) (p places, err error) {
	if len(cores) < 2 {
		return p, fmt.Errorf("this machine has one core; the server and the load generator need one each")
	}
	place := func(from, to int) string {
		last := len(cores) - 1
		var names []string
		for i := min(from, last); i <= min(to, last); i++ {
			names = append(names, strconv.Itoa(cores[i]))
		}
		return strings.Join(names, ",")
	}
	return places{server: place(0, 0), two: place(0, 1), generator: place(2, 2), stores: place(3, 6), reader: place(2, 2)}, nil
}

// placesFor are the places of a server and its load. Reads of the admin API are for a core of
// its own, with Postgres. Where there are only two, radiusd's load leaves them the second one.
func (b *bench) placesFor(server string) places {
	p := b.places
	if server == readServer && p.stores == p.generator && p.stores != p.server {
		p.generator, p.reader = p.server, p.server
	}
	return p
}

// shared reports whether the load of a server runs on the server's core.
func (b *bench) shared(server string) bool {
	p := b.placesFor(server)
	return p.generator == p.server
}

// ahead is the command before a server, or its load. The load of one that is disturbed runs in
// real time, so that what disturbs, and Postgres, do not keep it from sending; and where it shares
// the server's core, the server as well: then each lets the other in when it waits. A server that
// has a core does not: it may fill it, and Linux stops what does so in real time.
func (b *bench) ahead(server, place string) []string {
	load := server == disturbedServer && place == b.placesFor(server).generator
	if (load || b.shared(server)) && b.nice != 0 {
		return append([]string{"chrt", "-r", "1"}, front(place)...)
	}
	return front(place)
}

// front is the command before one that is to run in a place.
func front(place string) []string { return []string{"taskset", "-c", place} }

// aside is front for what may wait: it has the scheduling policy and the priority that
// processes have by default.
func (b *bench) aside(place string) []string {
	return append([]string{"chrt", "-o", "0", "nice", "-n", strconv.Itoa(-b.nice)}, front(place)...)
}

// renice gives this process, and all that it starts from now on, the priority. Linux has
// one for each thread, and a new one takes that of its maker.
func renice(priority int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			continue
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, priority); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("nice %d: %w", priority, err)
		}
	}
	return nil
}

// median is the middle of the values, and least and most the ends; zeros of none.
func median(values []float64) (least, middle, most float64) {
	if len(values) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[n-1]
}
