// Package pdf writes PDF files: pages of text in embedded fonts, lines and filled
// rectangles, and files attached to them. It knows nothing of what is on the pages.
//
// Text is placed glyph by glyph, by the glyph's number in its font, which is what a
// shaper of text gives; most scripts cannot be written otherwise. Of each font the
// glyphs that are used are embedded, with what they mean, so that text can be copied
// and searched. Files are PDF 1.7 and conform to PDF/A-3 (ISO 19005-3), level B.
//
// What is written depends on what is asked for alone: there is no clock and no
// randomness in it.
package pdf

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"
	"unicode/utf16"
)

// Info is what a file says of itself.
type Info struct {
	Title   string
	Author  string
	Creator string // the program
	Subject string
	Lang    string // BCP 47, as de-DE
	// Created is the time of creation and change.
	Created time.Time
	// Schemas are descriptions of further XMP properties, as XML: rdf:Description
	// elements, written as they are.
	Schemas string
}

// Attachment is a file within the file.
type Attachment struct {
	Name        string // ASCII
	MIME        string
	Description string
	Relation    string // AFRelationship: Alternative, Data, Source
	Data        []byte
}

// File is a PDF file while it is written. Its methods are for one goroutine. The first
// error of the writer is kept and returned by Close; nothing is written after it.
type File struct {
	w       *bufio.Writer
	hash    hash.Hash
	offset  int64
	objects []int64 // offsets by number; 0: not written yet
	err     error
	info    Info
	zip     *zlib.Writer
	zipped  bytes.Buffer
	width   float64
	height  float64
	pages   []int // the streams of the pages' contents
	fonts   []*Font
	files   []Attachment
	current *Page
	// Footer, if it is set, draws what goes onto every page once it is known how many
	// there are. It is called by Close for each page, from 1.
	Footer func(page, pages int, p *Page)
}

// Numbers of the objects that others refer to before they are written.
const (
	objCatalog = 1 + iota
	objPages
	objResources
	objInfo
	objMetadata
	objReserved // the first number that is free
)

// NewFile begins a file whose pages are of the size given, in points of 1/72 inch.
func NewFile(w io.Writer, width, height float64, info Info) *File {
	f := &File{hash: sha256.New(), info: info, width: width, height: height, objects: make([]int64, objReserved)}
	f.w = bufio.NewWriter(io.MultiWriter(w, f.hash))
	f.zip = zlib.NewWriter(&f.zipped)
	f.printf("%%PDF-1.7\n%%\xe2\xe3\xcf\xd3\n")
	return f
}

// Attach adds a file to the file.
func (f *File) Attach(a Attachment) { f.files = append(f.files, a) }

// NewPage ends the page before and begins one.
func (f *File) NewPage() *Page {
	f.endPage()
	f.current = newPage()
	return f.current
}

func (f *File) endPage() {
	if f.current == nil {
		return
	}
	f.pages = append(f.pages, f.stream("", f.current.content.Bytes()))
	f.current = nil
}

// Close ends the file. It does not close the writer.
func (f *File) Close() error {
	f.endPage()
	footers := make([]int, len(f.pages))
	if f.Footer != nil {
		for i := range f.pages {
			p := newPage()
			f.Footer(i+1, len(f.pages), p)
			footers[i] = f.stream("", p.content.Bytes())
		}
	}
	kids := make([]string, len(f.pages))
	for i, content := range f.pages {
		contents := fmt.Sprintf("%d 0 R", content)
		if footers[i] != 0 {
			contents = fmt.Sprintf("[%d 0 R %d 0 R]", content, footers[i])
		}
		kids[i] = fmt.Sprintf("%d 0 R", f.object(f.number(), fmt.Sprintf(
			"<</Type/Page/Parent %d 0 R/MediaBox[0 0 %s %s]/Resources %d 0 R/Contents %s>>",
			objPages, decimal(f.width), decimal(f.height), objResources, contents)))
	}
	f.object(objPages, fmt.Sprintf("<</Type/Pages/Count %d/Kids[%s]>>", len(kids), strings.Join(kids, " ")))
	var fonts strings.Builder
	for _, font := range f.fonts {
		fmt.Fprintf(&fonts, "/%s %d 0 R", font.name, font.write(f))
	}
	f.object(objResources, fmt.Sprintf("<</Font<<%s>>>>", fonts.String()))
	f.writeInfo()
	f.writeCatalog()
	f.writeTrailer()
	if err := f.w.Flush(); f.err == nil {
		f.err = err
	}
	return f.err
}

func (f *File) writeInfo() {
	created := f.info.Created.UTC()
	var b strings.Builder
	b.WriteString("<<")
	for _, entry := range []struct{ key, value string }{
		{"Title", f.info.Title}, {"Author", f.info.Author}, {"Subject", f.info.Subject}, {"Creator", f.info.Creator},
	} {
		if entry.value != "" {
			fmt.Fprintf(&b, "/%s %s", entry.key, textString(entry.value))
		}
	}
	day := created.Format("20060102150405")
	fmt.Fprintf(&b, "/CreationDate(D:%sZ)/ModDate(D:%sZ)>>", day, day)
	f.object(objInfo, b.String())
	f.streamAs(objMetadata, "/Type/Metadata/Subtype/XML", f.info.xmp(), false)
}

func (f *File) writeCatalog() {
	var b strings.Builder
	fmt.Fprintf(&b, "<</Type/Catalog/Pages %d 0 R/Metadata %d 0 R/ViewerPreferences<</DisplayDocTitle true>>", objPages, objMetadata)
	if f.info.Lang != "" {
		fmt.Fprintf(&b, "/Lang%s", textString(f.info.Lang))
	}
	// What black and white are, which PDF/A wants to be told.
	profile := f.stream("/N 1", grayProfile())
	fmt.Fprintf(&b, "/OutputIntents[<</Type/OutputIntent/S/GTS_PDFA1/OutputConditionIdentifier(Gray gamma 2.2)/Info(Gray gamma 2.2)/DestOutputProfile %d 0 R>>]", profile)
	var names, related strings.Builder
	for _, a := range f.files {
		day := f.info.Created.UTC().Format("20060102150405")
		data := f.stream(fmt.Sprintf("/Type/EmbeddedFile/Subtype/%s/Params<</Size %d/ModDate(D:%sZ)>>",
			nameOf(a.MIME), len(a.Data), day), a.Data)
		spec := f.object(f.number(), fmt.Sprintf("<</Type/Filespec/F(%s)/UF(%s)/Desc %s/AFRelationship/%s/EF<</F %d 0 R/UF %d 0 R>>>>",
			a.Name, a.Name, textString(a.Description), a.Relation, data, data))
		fmt.Fprintf(&names, "(%s)%d 0 R", a.Name, spec)
		fmt.Fprintf(&related, "%d 0 R ", spec)
	}
	if names.Len() > 0 {
		fmt.Fprintf(&b, "/Names<</EmbeddedFiles<</Names[%s]>>>>/AF[%s]", names.String(), related.String())
	}
	b.WriteString(">>")
	f.object(objCatalog, b.String())
}

func (f *File) writeTrailer() {
	// The identifier is the hash of what has been written so far.
	if err := f.w.Flush(); f.err == nil {
		f.err = err
	}
	id := fmt.Sprintf("%x", f.hash.Sum(nil)[:16])
	start := f.offset
	f.printf("xref\n0 %d\n0000000000 65535 f \n", len(f.objects))
	for _, offset := range f.objects[1:] {
		f.printf("%010d 00000 n \n", offset)
	}
	f.printf("trailer\n<</Size %d/Root %d 0 R/Info %d 0 R/ID[<%s><%s>]>>\nstartxref\n%d\n%%%%EOF\n",
		len(f.objects), objCatalog, objInfo, id, id, start)
}

// number returns the number of a new object.
func (f *File) number() int {
	f.objects = append(f.objects, 0)
	return len(f.objects) - 1
}

// object writes an object and returns its number.
func (f *File) object(number int, body string) int {
	f.objects[number] = f.offset
	f.printf("%d 0 obj\n%s\nendobj\n", number, body)
	return number
}

// stream writes a compressed stream as a new object and returns its number.
func (f *File) stream(entries string, data []byte) int {
	number := f.number()
	f.streamAs(number, entries, data, true)
	return number
}

func (f *File) streamAs(number int, entries string, data []byte, compress bool) {
	if compress {
		f.zipped.Reset()
		f.zip.Reset(&f.zipped)
		// A bytes.Buffer takes everything.
		_, _ = f.zip.Write(data)
		_ = f.zip.Close()
		data = f.zipped.Bytes()
		entries += "/Filter/FlateDecode"
	}
	f.objects[number] = f.offset
	f.printf("%d 0 obj\n<<%s/Length %d>>\nstream\n", number, entries, len(data))
	f.write(data)
	f.printf("\nendstream\nendobj\n")
}

func (f *File) printf(format string, args ...any) { f.write(fmt.Appendf(nil, format, args...)) }

func (f *File) write(b []byte) {
	if f.err != nil {
		return
	}
	n, err := f.w.Write(b)
	f.offset += int64(n)
	f.err = err
}

// textString writes a text string (ISO 32000-1, 7.9.2.2) as UTF-16.
func textString(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", unit)
	}
	b.WriteString(">")
	return b.String()
}

// nameOf writes a name without its slash, with the characters that a name may not
// have escaped (ISO 32000-1, 7.3.5).
func nameOf(s string) string { return strings.ReplaceAll(s, "/", "#2F") }
