package billing_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// goodSteps are those that the documentation recommends.
const goodSteps = "7 remind, 14 remind, 21 restrict, 30 suspend, 60 end"

func dunning(t *testing.T, steps string) *billing.Dunning {
	t.Helper()
	d := billing.DefaultDunning()
	var err error
	d.Steps, err = billing.ParseDunningSteps(steps)
	require.NoError(t, err)
	d.RestrictGroup = uuid.MustParse("00000000-0000-7000-8000-0000000000aa")
	require.NoError(t, d.Validate())
	return &d
}

func TestDunningSteps(t *testing.T) {
	due := func(number, on string, open billing.Amount, change ...func(*billing.Invoice)) billing.Invoice {
		i := billing.Invoice{ID: uuid.NewSHA1(uuid.Nil, []byte(number)), Number: number, Kind: billing.KindInvoice, State: billing.InvoiceIssued, Currency: "EUR", DueOn: date(on), Total: 1000, Paid: 1000 - open}
		for _, f := range change {
			f(&i)
		}
		return i
	}
	done := func(number, on string, action billing.DunningAction, after int, state billing.DunningState) billing.DunningRecord {
		return billing.DunningRecord{InvoiceID: uuid.NewSHA1(uuid.Nil, []byte(number)), On: date(on), Action: action, AfterDays: after, State: state}
	}
	was := billing.DunningDone
	cases := map[string]struct {
		steps    string
		grace    int
		invoices []billing.Invoice
		done     []billing.DunningRecord
		day      string
		at       string // the account's step
		want     []string
	}{
		"due today":                  {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-03-01", "", nil},
		"the day before the first":   {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-03-07", "", nil},
		"the first":                  {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-03-08", "7 remind", []string{"A 7 remind"}},
		"the first was taken":        {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-08", "remind", 7, was)}, "2026-03-09", "7 remind", nil},
		"partly paid is not paid":    {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1)}, nil, "2026-03-08", "7 remind", []string{"A 7 remind"}},
		"paid in full":               {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 0, func(i *billing.Invoice) { i.State = billing.InvoicePaid })}, nil, "2026-05-08", "", nil},
		"void":                       {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000, func(i *billing.Invoice) { i.State = billing.InvoiceVoid })}, nil, "2026-05-08", "", nil},
		"a credit note is not owed":  {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000, func(i *billing.Invoice) { i.Kind = billing.KindCreditNote })}, nil, "2026-05-08", "", nil},
		"credited in part":           {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 250)}, nil, "2026-03-31", "30 suspend", []string{"A 14 remind", "A 30 suspend"}},
		"grace":                      {goodSteps, 3, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-03-10", "", nil},
		"after the grace":            {goodSteps, 3, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-03-11", "7 remind", []string{"A 7 remind"}},
		"over the end of February":   {goodSteps, 0, []billing.Invoice{due("A", "2028-02-22", 1000)}, nil, "2028-03-01", "7 remind", []string{"A 7 remind"}}, // the 29th is one of eight days
		"restricted after reminders": {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-08", "remind", 7, was), done("A", "2026-03-15", "remind", 14, was)}, "2026-03-22", "21 restrict", []string{"A 21 restrict"}},
		"what was missed is not made up for one by one": {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-04-05", "30 suspend", []string{"A 14 remind", "A 30 suspend"}},
		"nothing ends at once":                          {goodSteps, 0, []billing.Invoice{due("A", "2025-03-01", 1000)}, nil, "2026-04-05", "60 end", []string{"A 14 remind", "A 30 suspend"}},
		"nor on the same day":                           {goodSteps, 0, []billing.Invoice{due("A", "2025-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-04-05", "remind", 14, was), done("A", "2026-04-05", "suspend", 30, was)}, "2026-04-05", "60 end", nil},
		"but the day after":                             {goodSteps, 0, []billing.Invoice{due("A", "2025-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-04-05", "remind", 14, was), done("A", "2026-04-05", "suspend", 30, was)}, "2026-04-06", "60 end", []string{"A 60 end"}},
		"each invoice by itself": {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000), due("B", "2026-03-24", 1000)}, []billing.DunningRecord{done("A", "2026-03-15", "remind", 14, was), done("A", "2026-03-22", "restrict", 21, was)},
			"2026-03-31", "30 suspend", []string{"A 30 suspend", "B 7 remind"}},
		"in two currencies": {goodSteps, 0, []billing.Invoice{due("A", "2026-03-01", 1000), due("B", "2026-03-01", 1000, func(i *billing.Invoice) { i.Currency = "JPY" })}, nil,
			"2026-03-08", "7 remind", []string{"A 7 remind", "B 7 remind"}},
		"an operator has undone it":             {"30 suspend", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-31", "suspend", 30, billing.DunningWaived)}, "2026-04-20", "30 suspend", nil},
		"the payment was taken back":            {"30 suspend", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-31", "suspend", 30, billing.DunningLifted)}, "2026-04-20", "30 suspend", []string{"A 30 suspend"}},
		"earlier now, and taken before":         {"10 suspend", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-31", "suspend", 30, was)}, "2026-04-20", "10 suspend", nil},
		"earlier now, and not taken yet":        {"5 remind, 20 suspend", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-15", "remind", 14, was)}, "2026-03-25", "20 suspend", []string{"A 20 suspend"}},
		"reminders at other days now":           {"5 remind, 10 remind", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-08", "remind", 7, was)}, "2026-03-13", "10 remind", []string{"A 10 remind"}},
		"no reminder before the one that was":   {"5 remind, 40 remind", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-08", "remind", 7, was)}, "2026-03-13", "5 remind", nil},
		"restricted only now, though suspended": {"21 restrict", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, []billing.DunningRecord{done("A", "2026-03-31", "suspend", 30, was)}, "2026-04-20", "21 restrict", nil},
		"a suspension that mails itself":        {"7 remind, 14 remind, 30 suspend 3", 0, []billing.Invoice{due("A", "2026-03-01", 1000)}, nil, "2026-04-05", "30 suspend 3", []string{"A 30 suspend 3"}},
		"no steps":                              {"", 0, []billing.Invoice{due("A", "2025-03-01", 1000)}, nil, "2026-04-05", "", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := dunning(t, c.steps)
			d.GraceDays = c.grace
			account := &billing.DunningAccount{Invoices: c.invoices, Done: c.done}
			at := ""
			if step, _ := d.StepOn(account, date(c.day)); step >= 0 {
				at = d.Steps[step].String()
			}
			assert.Equal(t, c.at, at)
			var got []string
			for _, due := range d.Due(account, date(c.day)) {
				got = append(got, due.Invoice.Number+" "+d.Steps[due.Step].String())
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestDunningReminders(t *testing.T) {
	d := dunning(t, "5 remind, 10 remind, 20 suspend, 30 remind 9, 40 end 2")
	var got []int
	for n := range d.Steps {
		got = append(got, d.Reminder(n))
	}
	assert.Equal(t, []int{1, 2, 0, 9, 2}, got)
	i := &billing.Invoice{DueOn: date("2026-03-01")}
	d.GraceDays = 2
	assert.Equal(t, "2026-03-23", d.ActOn(i, date("2026-03-06")).String())
	assert.Equal(t, "2026-04-12", d.ActOn(i, date("2026-03-23")).String())
	assert.True(t, d.ActOn(i, date("2026-04-12")).IsZero())
}

func TestDunningSettings(t *testing.T) {
	for text, problem := range map[string]string{
		"7":                        "is no step",
		"7 remind,":                "is no step",
		"seven remind":             "is no step",
		"7 remind 1 2":             "is no step",
		"7 nag":                    `has the action "nag"`,
		"7 remind 10":              "step 1 has the template 10",
		"-1 remind":                "step 1 is after -1 days",
		"7 remind, 7 suspend":      "step 2 does not come after",
		"7 suspend, 9 restrict":    "step 2: restrict is not harder than what was done before",
		"7 suspend, 9 suspend":     "step 2: suspend is not harder than what was done before",
		"7 restrict":               "restrict_group",
		"1 end, 2 remind":          "",
		"":                         "",
		"30 suspend, 7 remind":     "", // they are put in order
		" 7  remind , 14 remind 2": "",
	} {
		t.Run(text, func(t *testing.T) {
			d := billing.DefaultDunning()
			steps, err := billing.ParseDunningSteps(text)
			if err == nil {
				d.Steps = steps
				err = d.Validate()
			}
			if problem == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, problem)
				assert.NotContains(t, err.Error(), "nag is not harder", "it is nothing")
			}
		})
	}
}

func date(text string) billing.Date {
	d, err := billing.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}
