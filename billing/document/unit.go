package document

// unitCodes are the codes of UNECE Recommendation 20 for the units that charges are
// counted in.
var unitCodes = map[string]string{
	"": "C62", "period": "C62", "piece": "C62", "one": "C62",
	"second": "SEC", "seconds": "SEC", "minute": "MIN", "minutes": "MIN", "hour": "HUR", "hours": "HUR",
	"day": "DAY", "days": "DAY", "week": "WEE", "weeks": "WEE", "month": "MON", "months": "MON",
	"quarter": "QAN", "quarters": "QAN", "year": "ANN", "years": "ANN",
	"octet": "AD", "octets": "AD", "upload": "AD", "download": "AD", "byte": "AD", "bytes": "AD",
	"kB": "2P", "MB": "4L", "GB": "E34", "TB": "E35", "KiB": "E64", "MiB": "E63", "GiB": "E62", "TiB": "E61",
}

// knownCodes are the codes that a unit may be given as.
var knownCodes = map[string]bool{
	"C62": true, "EA": true, "H87": true, "SEC": true, "MIN": true, "HUR": true, "DAY": true, "WEE": true, "MON": true,
	"QAN": true, "ANN": true, "AD": true, "2P": true, "4L": true, "E34": true, "E35": true,
	"E64": true, "E63": true, "E62": true, "E61": true,
}

// unitCode returns the code of UNECE Recommendation 20 for a unit, and the empty text
// if there is none known.
func unitCode(unit string) string {
	if knownCodes[unit] {
		return unit
	}
	return unitCodes[unit]
}
