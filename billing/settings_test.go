package billing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettingsValidate(t *testing.T) {
	for _, iban := range []string{"", "AT611904300234573201", "DE89 3704 0044 0532 0130 00", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"} {
		s := DefaultSettings()
		s.Seller.IBAN = iban
		require.NoError(t, s.Validate(), iban)
	}
	for want, edit := range map[string]func(*Settings){
		`series is "inv": want up to 20 capital letters`:                        func(s *Settings) { s.Series = "inv" },
		"series and credit_series are the same":                                 func(s *Settings) { s.Series = s.CreditSeries },
		"settle_days is 61: it must be from 0 to 60":                            func(s *Settings) { s.SettleDays = 61 },
		"look_back_days is -1":                                                  func(s *Settings) { s.LookBackDays = -1 },
		"due_days is 9999":                                                      func(s *Settings) { s.DueDays = 9999 },
		`country is "Austria": want a code of ISO 3166-1, such as AT`:           func(s *Settings) { s.Seller.Country = "Austria" },
		`country is "12"`:                                                       func(s *Settings) { s.Seller.Country = "12" },
		`iban is "AT611904300234573210": that is none, or it has a wrong digit`: func(s *Settings) { s.Seller.IBAN = "AT611904300234573210" },
		`iban is "XX123"`:                                                       func(s *Settings) { s.Seller.IBAN = "XX123" },
		`iban is "at611904300234573201"`:                                        func(s *Settings) { s.Seller.IBAN = "at611904300234573201" },
		`iban is "1234567890123456"`:                                            func(s *Settings) { s.Seller.IBAN = "1234567890123456" },
	} {
		s := DefaultSettings()
		edit(&s)
		err := s.Validate()
		require.ErrorContains(t, err, want)
		require.Len(t, strings.Split(err.Error(), "\n"), 1, "one thing is wrong: %v", err)
	}
}
