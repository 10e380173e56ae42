package pdf

import "encoding/binary"

// grayProfile returns an ICC profile (ICC.1:2001-04, version 2) of shades of gray with
// a gamma of 2.2, as screens have.
func grayProfile() []byte {
	text := func(kind, s string) []byte { return append([]byte(kind+"\x00\x00\x00\x00"), s...) }
	// A description is ASCII with its length, and empty ones in Unicode and ScriptCode.
	const name = "Gray gamma 2.2\x00"
	description := binary.BigEndian.AppendUint32(text("desc", ""), uint32(len(name)))
	description = append(append(description, name...), make([]byte, 4+4+2+1+67)...)
	white := text("XYZ ", "")
	for _, v := range []uint32{0xF6D6, 0x10000, 0xD32D} { // D50
		white = binary.BigEndian.AppendUint32(white, v)
	}
	curve := append(text("curv", "\x00\x00\x00\x01"), 0x02, 0x33) // 2.2 in 8.8 bits
	tags := []struct {
		signature string
		data      []byte
	}{
		{"desc", description}, {"cprt", text("text", "No copyright, use freely\x00")}, {"wtpt", white}, {"kTRC", curve},
	}
	header := make([]byte, 128)
	copy(header[8:], "\x02\x10\x00\x00mntrGRAYXYZ ")
	copy(header[24:], "\x07\xd0\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00acsp") // 1 January 2000
	copy(header[68:], white[8:])
	table := binary.BigEndian.AppendUint32(nil, uint32(len(tags)))
	offset := len(header) + 4 + 12*len(tags)
	var body []byte
	for _, tag := range tags {
		table = append(table, tag.signature...)
		table = binary.BigEndian.AppendUint32(table, uint32(offset+len(body)))
		table = binary.BigEndian.AppendUint32(table, uint32(len(tag.data)))
		body = append(body, padded(tag.data)...)
	}
	profile := append(append(header, table...), body...)
	binary.BigEndian.PutUint32(profile, uint32(len(profile)))
	return profile
}
