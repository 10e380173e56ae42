// Command dicttables writes the tables of package dictionary from a folder of
// FreeRADIUS dictionary files. It takes over facts only (names, numbers,
// types, flags, values), in a layout of its own: attributes by number, each
// with its values by number. Run it from the top of the repository:
//
//	go run ./scripts/dicttables /usr/share/freeradius dictionary/tables
//
// Tables whose first line says "kept by hand" are left alone.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const byHand = "kept by hand"

// skipped are files that give numbers of the standard space, or of a vendor,
// a second meaning, that are not about RADIUS, or whose job table radiusd has.
var skipped = []string{
	"alvarion.wimax.v2_2", "ascend.illegal", "cisco.vpn3000", "dhcp", "fdxtended", "freedhcp",
	"freeradius.internal", "motorola.illegal", "nokia.conflict", "openser", "starent.vsa1", "usr.illegal",
	"vqp", "wimax.alvarion", "wimax.wichorus",
}

// weak are tables whose names another file may give to other numbers:
// FreeRADIUS has the names of RFC 5090 on numbers of its own.
var weak = []string{"rfc5090"}

// dropped are attributes of one table that contradict another table.
var dropped = map[string][]string{"iana": {"Digest-Response"}}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: dicttables SOURCE-FOLDER TABLES-FOLDER")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(source, target string) error {
	files, err := filepath.Glob(filepath.Join(source, "dictionary.*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		name := strings.TrimPrefix(filepath.Base(file), "dictionary.")
		if slices.Contains(skipped, name) {
			continue
		}
		out := filepath.Join(target, name)
		if old, err := os.ReadFile(out); err == nil && bytes.Contains(old[:min(len(old), 200)], []byte(byHand)) {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		table := convert(name, string(text))
		if table == nil {
			continue
		}
		if err := os.WriteFile(out, table, 0o644); err != nil {
			return err
		}
	}
	return writeIndex(target)
}

// block is a vendor's part of a file; the one without vendor comes first.
type block struct {
	begin, end string
	attributes []attribute
}

type attribute struct {
	name, oid, rest string
	number          []uint64
}

type value struct {
	attribute, name, text string
	number                uint64
}

func convert(name, text string) []byte {
	blocks := []*block{{}}
	current := blocks[0]
	var vendors []string
	var values []value
	prefix := []string{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "VENDOR":
			if v := strings.Join(f, " "); !slices.Contains(vendors, v) {
				vendors = append(vendors, v)
			}
		case "BEGIN-VENDOR":
			current = &block{begin: strings.Join(f, " "), end: "END-VENDOR " + f[1]}
			blocks = append(blocks, current)
		case "END-VENDOR":
			current = blocks[0]
		case "BEGIN-TLV":
			for _, a := range current.attributes {
				if a.name == f[1] {
					prefix = append(prefix, a.oid)
				}
			}
		case "END-TLV":
			prefix = prefix[:len(prefix)-1]
		case "ATTRIBUTE":
			if slices.Contains(dropped[name], f[1]) {
				continue
			}
			a := attribute{name: f[1], oid: f[2], rest: strings.ToLower(f[3])}
			if n := len(prefix); n > 0 {
				a.oid = prefix[n-1] + "." + a.oid
			}
			flags := strings.Join(f[4:], ",")
			if slices.Contains(weak, name) {
				flags = strings.Trim(flags+",weak", ",")
			}
			if flags != "" {
				a.rest += " " + flags
			}
			for part := range strings.SplitSeq(a.oid, ".") {
				n, err := strconv.ParseUint(part, 0, 64)
				if err != nil {
					log.Fatalf("%s: %s: %v", name, a.name, err)
				}
				a.number = append(a.number, n)
			}
			a.oid = dotted(a.number)
			current.attributes = append(current.attributes, a)
		case "VALUE":
			n, err := strconv.ParseUint(f[3], 0, 64)
			if err != nil {
				log.Fatalf("%s: %s: %v", name, f[2], err)
			}
			values = append(values, value{f[1], f[2], f[3], n})
		default:
			log.Printf("%s: %q left out", name, line)
		}
	}
	for _, bl := range blocks {
		for _, a := range bl.attributes {
			if a.rest == "octets" {
				// FreeRADIUS tolerates values of these and makes no use of them.
				values = slices.DeleteFunc(values, func(v value) bool { return v.attribute == a.name })
			}
		}
	}
	return write(name, vendors, blocks, values)
}

func dotted(numbers []uint64) string {
	var parts []string
	for _, n := range numbers {
		parts = append(parts, strconv.FormatUint(n, 10))
	}
	return strings.Join(parts, ".")
}

// write lays a table out. Order is kept among equal numbers, as the last name
// for a number is the preferred one.
func write(name string, vendors []string, blocks []*block, values []value) []byte {
	slices.SortStableFunc(values, func(a, b value) int { return cmp.Compare(a.number, b.number) })
	title := "vendor table " + name
	if rfc, ok := strings.CutPrefix(name, "rfc"); ok {
		title = "RFC " + rfc
	} else if name == "iana" || name == "compat" {
		title = name
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s: attribute names, numbers, types and values\n", title)
	for _, v := range vendors {
		fmt.Fprintln(&b, v)
	}
	empty := true
	take := func(attribute string) {
		values = slices.DeleteFunc(values, func(v value) bool {
			if !strings.EqualFold(v.attribute, attribute) {
				return false
			}
			fmt.Fprintf(&b, "VALUE %s %s %d\n", attribute, v.name, v.number)
			return true
		})
	}
	for _, bl := range blocks {
		if len(bl.attributes) == 0 {
			continue
		}
		empty = false
		if bl.begin != "" {
			fmt.Fprintln(&b, bl.begin)
		}
		slices.SortStableFunc(bl.attributes, func(a, b attribute) int { return slices.Compare(a.number, b.number) })
		for _, a := range bl.attributes {
			fmt.Fprintf(&b, "ATTRIBUTE %s %s %s\n", a.name, a.oid, a.rest)
			take(a.name)
		}
		if bl.end != "" {
			fmt.Fprintln(&b, bl.end)
		}
	}
	for len(values) > 0 {
		empty = false
		take(values[0].attribute)
	}
	if empty && len(vendors) == 0 {
		return nil
	}
	return b.Bytes()
}

// writeIndex includes all tables: old names first, so that later ones are
// preferred, then the RFCs in order, then vendors (further names of theirs first), then the server's own.
func writeIndex(target string) error {
	entries, err := os.ReadDir(target)
	if err != nil {
		return err
	}
	rank := func(name string) int {
		switch {
		case name == "compat":
			return 0
		case strings.HasPrefix(name, "rfc"):
			return 1
		case name == "iana":
			return 2
		case name == "vendors":
			return 3
		case name == "radiusd":
			return 5
		}
		return 4
	}
	var names []string
	for _, e := range entries {
		if e.Name() != "dictionary" {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	var b bytes.Buffer
	b.WriteString("# All tables. Written by scripts/dicttables.\n")
	for _, n := range names {
		fmt.Fprintln(&b, "$INCLUDE", n)
	}
	return os.WriteFile(filepath.Join(target, "dictionary"), b.Bytes(), 0o644)
}
