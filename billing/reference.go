package billing

import (
	"errors"
	"fmt"
	"strings"
)

// maxRFBody is how many characters ISO 11649 leaves for the creditor's own reference,
// after RF and two check digits.
const maxRFBody = 21

// RFReference returns the creditor reference of an invoice number as ISO 11649 has it:
// RF, two check digits, and the number's letters and digits. A payer's bank checks it,
// and the statement brings it back unchanged. It fails for a number that has none, more
// than 21, or letters beyond A to Z.
func RFReference(number string) (string, error) {
	body := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r == '-' || r == '/' || r == '.' || r == '_' || r == ' ':
			return -1
		}
		return r
	}, number)
	if body == "" || len(body) > maxRFBody || !isRF(body) {
		return "", fmt.Errorf("%q makes no creditor reference (ISO 11649): want 1 to %d letters A-Z and digits", number, maxRFBody)
	}
	return fmt.Sprintf("RF%02d%s", 98-mod97(body+"RF00"), body), nil
}

// ParseRFReference checks a creditor reference, with or without spaces and in either
// case, and returns what stands after the check digits.
func ParseRFReference(text string) (string, error) {
	ref := strings.ToUpper(strings.Join(strings.Fields(text), ""))
	if !strings.HasPrefix(ref, "RF") || len(ref) < 5 || len(ref) > 4+maxRFBody || !isRF(ref) ||
		strings.Trim(ref[2:4], "0123456789") != "" {
		return "", errors.New("it is no creditor reference: want RF, two digits, and 1 to 21 letters and digits")
	}
	if mod97(ref[4:]+ref[:4]) != 1 {
		return "", errors.New("the check digits of the creditor reference are wrong")
	}
	return ref[4:], nil
}

// isIBAN reports whether text is an account number of ISO 13616 with the right check digits,
// with or without spaces.
func isIBAN(text string) bool {
	n := strings.ReplaceAll(text, " ", "")
	return 15 <= len(n) && len(n) <= 34 && isRF(n) && strings.Trim(n[:2], "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" &&
		strings.Trim(n[2:4], "0123456789") == "" && mod97(n[4:]+n[:4]) == 1
}

func isRF(s string) bool {
	return strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// mod97 is the remainder of ISO 7064: letters count as 10 to 35.
func mod97(s string) int {
	rest := 0
	for _, c := range []byte(s) {
		if c >= 'A' {
			rest = (rest*100 + int(c-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(c-'0')) % 97
		}
	}
	return rest
}
