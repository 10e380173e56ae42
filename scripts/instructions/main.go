// Command instructions counts the instructions of the paths in baseline.csv, runs them
// under valgrind for that, and fails if one has grown by more than 5 %. What it
// counts does not depend on how fast the machine is or on what else it does.
//
// A path is a Go benchmark. Its test binary runs twice, with a number of iterations and
// with twice as many; the difference is what the iterations cost, without what comes
// before and after them. Garbage collection is off, and there is one processor, so that
// the counts repeat within a percent.
//
//	go run ./scripts/instructions            # compare
//	go run ./scripts/instructions -update    # write what was counted into baseline.csv
package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"
)

const (
	baseline = "scripts/instructions/baseline.csv"
	// tolerance is what a path may grow by, in percent. Below that are changes of the
	// compiler's mind.
	tolerance = 5
)

// A measured is a line of the baseline.
type measured struct {
	pkg, benchmark string
	iterations     int
	packets        int // in an iteration
	instructions   int // for a packet
}

func main() {
	log.SetFlags(0)
	update := flag.Bool("update", false, "write the counts into "+baseline)
	only := flag.String("only", "", "count only the paths that match this expression, for example radius or PAP")
	flag.Parse()
	if err := run(*update, *only); err != nil {
		log.Fatal("instructions: ", err)
	}
}

func run(update bool, only string) error {
	filter, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if !cpu.X86.HasAVX2 {
		return errors.New("the counts are of an amd64 processor with AVX2, which this one is not")
	}
	valgrind, err := exec.Command("valgrind", "--version").Output()
	if err != nil {
		return fmt.Errorf("valgrind counts the instructions, so install it (apt-get install valgrind): %w", err)
	}
	made := fmt.Sprintf("%s, %s", runtime.Version(), bytes.TrimSpace(valgrind))
	was, lines, err := read(baseline)
	if err != nil {
		return err
	}
	if was != made {
		fmt.Printf("The counts to compare with were made by %s, these by %s.\n", was, made)
	}

	binaries, err := os.MkdirTemp("", "radiusd-instructions-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(binaries)
	counted, grown := 0, 0
	for i := range lines {
		l := &lines[i]
		if !filter.MatchString(l.pkg + " " + l.benchmark) {
			continue
		}
		n, err := l.count(binaries)
		if err != nil {
			return fmt.Errorf("%s %s: %w", l.pkg, l.benchmark, err)
		}
		counted++
		verdict, bad := compare(l.instructions, n)
		if bad {
			grown++
		}
		fmt.Printf("%-7s %-35s %6d -> %6d  %s\n", l.pkg, l.benchmark, l.instructions, n, verdict)
		l.instructions = n
	}
	switch {
	case counted == 0:
		return fmt.Errorf("no path in %s matches %q", baseline, only)
	case update:
		return write(baseline, made, lines)
	case grown > 0:
		return fmt.Errorf("%d paths have grown by more than %d %%; if that is worth it, say why in the commit that runs `make instructions ARGS=-update`", grown, tolerance)
	}
	return nil
}

// compare says what became of a count, and whether that is too much.
func compare(before, after int) (verdict string, grown bool) {
	if before == 0 {
		return "new", false
	}
	change := 100 * (after - before)
	verdict = fmt.Sprintf("%+.1f %%", float64(change)/float64(before))
	switch {
	case change > tolerance*before:
		return verdict + "  GROWN", true
	case change < -tolerance*before:
		return verdict + "  less: -update keeps it so", false
	}
	return verdict, false
}

// count is the instructions for each packet.
func (m *measured) count(binaries string) (int, error) {
	binary := filepath.Join(binaries, path.Base(m.pkg)+".test")
	if _, err := os.Stat(binary); err != nil {
		if out, err := exec.Command("go", "test", "-c", "-o", binary, "./"+m.pkg).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("build: %w: %s", err, out)
		}
	}
	once, err := m.callgrind(binary, m.iterations)
	if err != nil {
		return 0, err
	}
	twice, err := m.callgrind(binary, 2*m.iterations)
	if err != nil {
		return 0, err
	}
	return (twice - once) / (m.iterations * m.packets), nil
}

// callgrind is the instructions of a whole process.
func (m *measured) callgrind(binary string, iterations int) (int, error) {
	command := exec.Command("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
		binary, "-test.run", "^$", "-test.bench", expression(m.benchmark),
		"-test.benchtime", strconv.Itoa(iterations)+"x", "-test.cpu", "1")
	command.Dir = m.pkg
	command.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	out, err := command.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	if !bytes.Contains(out, []byte("\nBenchmark")) {
		return 0, errors.New("there is no such benchmark")
	}
	return collected(out)
}

// expression matches one benchmark: each part of its name, and nothing more.
func expression(benchmark string) string {
	parts := strings.Split(benchmark, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

var collectedLine = regexp.MustCompile(`(?m)^==\d+== Collected : (\d+)$`)

// collected finds the count in callgrind's report.
func collected(report []byte) (int, error) {
	found := collectedLine.FindSubmatch(report)
	if found == nil {
		return 0, fmt.Errorf("callgrind reports no count: %s", report)
	}
	return strconv.Atoi(string(found[1]))
}

// read returns the lines of a baseline, and by what they were made.
func read(name string) (made string, lines []measured, err error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return "", nil, fmt.Errorf("run this from the top of the repository: %w", err)
	}
	first, rest, _ := strings.Cut(string(content), "\n")
	made, ok := strings.CutPrefix(first, "# ")
	if !ok {
		return "", nil, fmt.Errorf("%s: the first line has to say by what it was made", name)
	}
	rows, err := csv.NewReader(strings.NewReader(rest)).ReadAll()
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, row := range rows[min(1, len(rows)):] {
		if len(row) != len(columns) {
			return "", nil, fmt.Errorf("%s: %q: want the columns %q", name, row, columns)
		}
		m := measured{pkg: row[0], benchmark: row[1]}
		for i, number := range []*int{&m.iterations, &m.packets, &m.instructions} {
			if *number, err = strconv.Atoi(row[2+i]); err != nil || *number < 0 || i < 2 && *number == 0 {
				return "", nil, fmt.Errorf("%s: %s %s: %s is %q", name, m.pkg, m.benchmark, columns[2+i], row[2+i])
			}
		}
		lines = append(lines, m)
	}
	return made, lines, nil
}

var columns = []string{"package", "benchmark", "iterations", "packets", "instructions"}

func write(name, made string, lines []measured) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n", made)
	w := csv.NewWriter(&out)
	rows := [][]string{columns}
	for _, m := range lines {
		rows = append(rows, []string{m.pkg, m.benchmark, strconv.Itoa(m.iterations), strconv.Itoa(m.packets), strconv.Itoa(m.instructions)})
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}
