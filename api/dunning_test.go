package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/api"
	"radiusd/billing"
	"radiusd/operator"
	"radiusd/store"
)

// dun does a dunning run for today, and returns what it has come to.
func (b *books) dun(t *testing.T) store.DunningRun {
	t.Helper()
	settings, _, err := b.store.BillingSettings(t.Context())
	require.NoError(t, err)
	day := billing.DateOf(b.clock.now(), time.UTC)
	run, err := b.store.DunAccounts(t.Context(), store.DunningRun{}, store.DunningOptions{Day: day, Bill: settings.RunOptions(day, time.UTC, nil, b.clock.now())}, 100)
	require.NoError(t, err)
	require.True(t, run.Finished)
	require.Zero(t, run.Failed, run.Failures)
	return run
}

// days lets days pass.
func (b *books) days(n int) { b.clock.add(time.Duration(n) * 24 * time.Hour) }

func TestDunning(t *testing.T) {
	bothEngines(t, func(t *testing.T, w *world) {
		b := newBooks(t, w)
		reader, writer := w.token(t, operator.BillingRead), w.token(t, operator.BillingWrite)
		alice, first := b.billed(t, "alice")
		b.tick()
		bob, second := b.billed(t, "bob")
		b.owner.patch("/users/"+alice.String(), object{"profile": object{"email": "alice@example.org"}}).is(http.StatusOK)
		debtors := into[api.Group](b.owner.post("/groups", object{"name": "debtors"}).is(http.StatusCreated)).ID
		steps := []object{{"after_days": 7, "action": "remind"}, {"after_days": 21, "action": "restrict"}, {"after_days": 30, "action": "suspend", "template": 3}}
		const settings = "/billing/dunning/settings"
		user := func(t *testing.T, id uuid.UUID) api.User {
			t.Helper()
			return into[api.User](b.owner.in(t).get("/users/" + id.String()).is(http.StatusOK))
		}

		t.Run("nothing is done until there are steps", func(t *testing.T) {
			owner := b.owner.in(t)
			assert.Equal(t, api.DunningSettings{
				Steps: []api.DunningStep{}, RestrictPriority: -100, RestrictLive: "disconnect", RestrictGroupID: nullable.NewNullNullable[uuid.UUID](),
			}, into[api.DunningSettings](owner.get(settings).is(http.StatusOK)))
			owner.post("/billing/dunning/runs", object{}).code(http.StatusConflict, "dunning_not_set_up")
			assert.Empty(t, into[api.DunningList](owner.get("/billing/dunning").is(http.StatusOK)).Items)
			assert.Empty(t, into[api.DunningPreview](owner.get("/billing/dunning/preview?day="+b.day(300)).is(http.StatusOK)).Items)
		})
		t.Run("settings", func(t *testing.T) {
			owner := b.owner.in(t)
			before := owner.get(settings).is(http.StatusOK)
			body := into[object](before)
			body["steps"], body["restrict_group_id"] = steps, debtors
			changed := owner.put(settings, body, "If-Match", before.header.Get("ETag")).is(http.StatusOK)
			owner.put(settings, body, "If-Match", before.header.Get("ETag")).code(http.StatusPreconditionFailed, "precondition_failed")
			got := owner.get(settings).is(http.StatusOK)
			assert.Equal(t, changed.body, got.body)
			assert.Equal(t, changed.header.Get("ETag"), got.header.Get("ETag"))
			assert.Equal(t, api.DunningStep{AfterDays: 30, Action: "suspend", Template: 3}, into[api.DunningSettings](got).Steps[2])
			assert.Equal(t, got.body, owner.put(settings, into[object](got), "If-Match", got.header.Get("ETag")).is(http.StatusOK).body)
			for field, change := range map[string]object{
				"steps[1].after_days": {"steps": []object{steps[0], steps[0]}},
				"steps[1].action":     {"steps": []object{{"after_days": 7, "action": "suspend"}, {"after_days": 8, "action": "restrict"}}},
				"steps[0].action":     {"steps": []object{{"after_days": 7, "action": "sue"}}},
				"restrict_group_id":   {"restrict_group_id": uuid.New()},
				"restrict_live":       {"restrict_live": "never"},
				"grace_days":          {"grace_days": -1},
			} {
				wrong := into[object](got)
				for name, value := range change {
					wrong[name] = value
				}
				owner.put(settings, wrong).field(field)
			}
			none := into[object](got)
			none["restrict_group_id"] = nil
			owner.put(settings, none).field("restrict_group_id")
			assert.Equal(t, got.body, owner.get(settings).is(http.StatusOK).body)
			audited := into[api.AuditList](owner.get("/audit?action=billing.dunning.update").is(http.StatusOK)).Items
			assert.Len(t, audited, 1, "what changes nothing is not there")
		})
		b.days(14 + 8) // they were due in 14
		t.Run("accounts that have come to a step", func(t *testing.T) {
			owner := b.owner.in(t)
			list := into[api.DunningList](owner.get("/billing/dunning?limit=1").is(http.StatusOK))
			require.Len(t, list.Items, 1)
			assert.Equal(t, api.DunningAccount{
				UserID: alice, Username: "alice", Step: api.DunningStep{AfterDays: 7, Action: "remind"}, DaysOverdue: 8, Open: []api.Money{money("36.00")},
				Invoices: []api.DunningInvoice{{
					InvoiceID: first.ID, Number: first.Number.MustGet(), DueOn: first.DueOn.MustGet(), DaysOverdue: 8, Open: money("36.00"), Taken: []api.DunningTaken{},
				}},
			}, list.Items[0])
			rest := into[api.DunningList](owner.get("/billing/dunning?limit=1&cursor=" + list.NextCursor.MustGet()).is(http.StatusOK))
			require.Len(t, rest.Items, 1)
			assert.Equal(t, bob, rest.Items[0].UserID)
			end := into[api.DunningList](owner.get("/billing/dunning?limit=1&cursor=" + rest.NextCursor.MustGet()).is(http.StatusOK))
			assert.Empty(t, end.Items)
			assert.True(t, end.NextCursor.IsNull())
			owner.get("/billing/dunning?cursor=x").code(http.StatusBadRequest, "bad_cursor")
			owner.get("/billing/dunning/preview?cursor="+list.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")
		})
		t.Run("a preview", func(t *testing.T) {
			owner := b.owner.in(t)
			today := into[api.DunningPreview](owner.get("/billing/dunning/preview").is(http.StatusOK)).Items
			require.Len(t, today, 2)
			assert.Equal(t, api.DunningPreviewItem{
				UserID: bob, Username: "bob", InvoiceID: second.ID, Number: second.Number.MustGet(), DueOn: second.DueOn.MustGet(), DaysOverdue: 8,
				Open: money("36.00"), Step: api.DunningStep{AfterDays: 7, Action: "remind"},
			}, today[1])
			day := "/billing/dunning/preview?limit=1&day=" + b.day(14+31)
			later := into[api.DunningPreview](owner.get(day).is(http.StatusOK))
			require.Len(t, later.Items, 1, "the hardest alone, whose mail says it")
			assert.Equal(t, api.DunningStep{AfterDays: 30, Action: "suspend", Template: 3}, later.Items[0].Step)
			rest := into[api.DunningPreview](owner.get(day + "&cursor=" + later.NextCursor.MustGet()).is(http.StatusOK)).Items
			require.Len(t, rest, 1)
			assert.Equal(t, bob, rest[0].UserID)
			owner.get("/billing/dunning/preview?day=" + b.day(600)).field("day")
			owner.get("/billing/dunning/preview?day=0001-01-02").field("day")
			for _, account := range into[api.DunningList](owner.get("/billing/dunning").is(http.StatusOK)).Items {
				assert.Empty(t, account.Invoices[0].Taken, "a preview writes nothing")
			}
		})
		t.Run("a run is a job", func(t *testing.T) {
			owner := b.owner.in(t)
			owner.post("/billing/dunning/runs", object{"as_of": b.day(23)}).field("as_of")
			started := into[api.BillingRunStarted](owner.post("/billing/dunning/runs", object{}).is(http.StatusAccepted))
			assert.Equal(t, b.day(22), started.AsOf.String())
			assert.Equal(t, started, into[api.BillingRunStarted](owner.post("/billing/dunning/runs", object{"as_of": b.day(22)}).is(http.StatusAccepted)), "it waits yet")
			jobs := into[api.JobList](owner.get("/jobs?kind=billing.dunning").is(http.StatusOK)).Items
			require.Len(t, jobs, 1)
			assert.Equal(t, started.JobID, jobs[0].ID)
			assert.Len(t, into[api.AuditList](owner.get("/audit?action=dunning_runs.start").is(http.StatusOK)).Items, 2)

			assert.Equal(t, 2, b.dun(t).Reminded)
			account := into[api.DunningList](owner.get("/billing/dunning").is(http.StatusOK)).Items[0]
			require.Len(t, account.Invoices[0].Taken, 1)
			taken := account.Invoices[0].Taken[0]
			assert.Equal(t, b.day(22), taken.DoneOn.String())
			taken.DoneOn = api.DunningTaken{}.DoneOn
			assert.Equal(t, api.DunningTaken{Action: "remind", AfterDays: 7, DaysOverdue: 8, State: "done"}, taken)
			assert.Empty(t, into[api.DunningPreview](owner.get("/billing/dunning/preview").is(http.StatusOK)).Items)
			b.startsOnce(t, "/billing/dunning/runs", "dunning_runs.start")
		})
		t.Run("mails", func(t *testing.T) {
			owner := b.owner.in(t)
			list := func(query string) (users []uuid.UUID) {
				t.Helper()
				for _, m := range into[api.MailList](owner.get("/billing/mails" + query).is(http.StatusOK)).Items {
					users = append(users, m.UserID)
				}
				return users
			}
			assert.ElementsMatch(t, []uuid.UUID{alice, bob}, list(""))
			assert.Equal(t, []uuid.UUID{bob}, list("?state=no_address"))
			assert.Equal(t, []uuid.UUID{alice}, list("?invoice_id="+first.ID.String()))
			assert.Equal(t, []uuid.UUID{bob}, list("?user_id="+bob.String()))
			assert.Empty(t, list("?state=sent"))
			page := into[api.MailList](owner.get("/billing/mails?sort=created_at&limit=1").is(http.StatusOK))
			rest := into[api.MailList](owner.get("/billing/mails?sort=created_at&limit=1&cursor=" + page.NextCursor.MustGet()).is(http.StatusOK))
			assert.ElementsMatch(t, []uuid.UUID{alice, bob}, []uuid.UUID{page.Items[0].UserID, rest.Items[0].UserID})
			assert.True(t, rest.NextCursor.IsNull())
			owner.get("/billing/mails?user_id="+bob.String()+"&cursor="+page.NextCursor.MustGet()).code(http.StatusBadRequest, "bad_cursor")

			reminder := into[api.MailList](owner.get("/billing/mails?state=waiting").is(http.StatusOK)).Items[0]
			assert.Equal(t, "overdue_7", reminder.Purpose)
			assert.Equal(t, "alice", reminder.Username)
			assert.Equal(t, first.Number.MustGet(), reminder.Number)
			assert.Equal(t, "alice@example.org", reminder.Recipient)
			assert.Equal(t, reminder.UpdatedAt, reminder.NextAt.MustGet(), "at once")
			assert.True(t, into[api.MailList](owner.get("/billing/mails?state=no_address").is(http.StatusOK)).Items[0].NextAt.IsNull())
			hidden := reader.in(t).get("/billing/mails").is(http.StatusOK)
			assert.Len(t, into[api.MailList](hidden).Items, 2)
			assert.NotContains(t, string(hidden.body), "example.org")
		})
		t.Run("an invoice is sent again only when asked", func(t *testing.T) {
			owner := b.owner.in(t)
			path := "/invoices/" + first.ID.String() + "/send"
			mail := into[api.Mail](owner.post(path, object{}).is(http.StatusAccepted))
			assert.Equal(t, "invoice", mail.Purpose)
			assert.Equal(t, api.MailState("waiting"), mail.State)
			assert.Equal(t, "alice@example.org", mail.Recipient)
			assert.Equal(t, mail, into[api.Mail](owner.post(path, object{}).is(http.StatusAccepted)))
			finish := func(state billing.MailingState, reason string) {
				t.Helper()
				b.tick()
				claimed, err := w.store.ClaimMail(t.Context(), mail.ID, time.Minute)
				require.NoError(t, err)
				require.NotNil(t, claimed)
				require.NoError(t, w.store.FinishMail(t.Context(), mail.ID, state, reason))
			}
			finish(billing.MailRefused, "550 5.1.1 <alice@example.org>: nobody")
			refused := into[api.Mail](owner.post(path, object{}).is(http.StatusAccepted))
			assert.Equal(t, api.MailState("refused"), refused.State)
			assert.Contains(t, refused.Error, "550")
			hidden := writer.in(t).post(path, object{}).is(http.StatusAccepted)
			assert.NotContains(t, string(hidden.body), "example.org")
			assert.Equal(t, api.MailState("waiting"), into[api.Mail](owner.post(path, object{"again": true}, "Idempotency-Key", "send").is(http.StatusAccepted)).State)
			finish(billing.MailSent, "")
			assert.Equal(t, api.MailState("sent"), into[api.Mail](owner.post(path, object{"again": true}, "Idempotency-Key", "send").is(http.StatusAccepted)).State, "the same request does not send it once more")
			owner.post(path, object{}, "Idempotency-Key", "send").code(http.StatusUnprocessableEntity, "key_reused")
			sent := into[api.Mail](owner.post(path, object{}).is(http.StatusAccepted))
			assert.Equal(t, api.MailState("sent"), sent.State)
			assert.Equal(t, 2, sent.Attempts)
			assert.Equal(t, mail.ID, sent.ID)
			assert.False(t, sent.SentAt.IsNull())

			owner.post("/charges", object{"user_id": bob, "description": "Cable", "amount": eur("1"), "tax_class": "standard"}).is(http.StatusCreated)
			draft := into[api.Invoice](owner.post("/invoices", object{"user_id": bob, "currency": "EUR"}).is(http.StatusCreated)).ID.String()
			owner.post("/invoices/"+draft+"/send", object{}).code(http.StatusConflict, "invoice_state")
			owner.post("/invoices/"+draft+"/issue", object{}).is(http.StatusOK)
			owner.post("/invoices/"+draft+"/void", nil).is(http.StatusOK)
			owner.post("/invoices/"+draft+"/send", object{"again": true}).code(http.StatusConflict, "invoice_state")
			owner.post("/invoices/"+uuid.NewString()+"/send", object{}).code(http.StatusNotFound, "not_found")
			owner.post(path, object{"again": "yes"}).field("again")
		})
		t.Run("who is restricted can be changed", func(t *testing.T) {
			owner := b.owner.in(t)
			b.days(14)
			assert.Equal(t, 2, b.dun(t).Restricted)
			restricted := user(t, alice)
			assert.Equal(t, []api.Membership{{GroupID: debtors, Group: "debtors", Priority: -100}}, restricted.Groups)
			assert.Equal(t, api.UserStatus("active"), restricted.Status)
			assert.Equal(t, api.UserSuspension("none"), restricted.Suspension)
			changed := into[api.User](owner.patch("/users/"+alice.String(), object{"simultaneous_use": 2}).is(http.StatusOK))
			assert.Equal(t, restricted.Groups, changed.Groups)
			changed = into[api.User](owner.put("/users/"+alice.String(), object{"username": "alice", "plan_id": b.plan, "groups": []object{{"group_id": debtors, "priority": -100}}}).is(http.StatusOK))
			assert.Equal(t, restricted.Groups, changed.Groups)
			// Who does not know of it does not lift it.
			changed = into[api.User](owner.put("/users/"+alice.String(), object{"username": "alice", "plan_id": b.plan}).is(http.StatusOK))
			assert.Equal(t, restricted.Groups, changed.Groups)
			owner.do(http.MethodPost, "/users/import?existing=update", "username,groups\nalice,\n", "Content-Type", csvType).is(http.StatusOK)
			assert.Equal(t, restricted.Groups, user(t, alice).Groups)
			owner.do(http.MethodDelete, "/groups/"+debtors.String(), "").code(http.StatusConflict, "in_use")
		})
		t.Run("what billing has suspended stays so", func(t *testing.T) {
			owner := b.owner.in(t)
			b.days(9)
			assert.Equal(t, 2, b.dun(t).Suspended)
			path := "/users/" + alice.String()
			base := object{"username": "alice", "plan_id": b.plan, "groups": []object{{"group_id": debtors, "priority": -100}}}
			overdue := func(u api.User, status, suspension string) {
				t.Helper()
				assert.Equal(t, status, string(u.Status))
				assert.Equal(t, suspension, string(u.Suspension))
			}
			overdue(user(t, alice), "suspended", "overdue")
			overdue(into[api.UserList](owner.get("/users?status=suspended&q=alice").is(http.StatusOK)).Items[0], "suspended", "overdue")
			overdue(into[api.User](owner.patch(path, object{"simultaneous_use": 3}).is(http.StatusOK)), "suspended", "overdue")
			overdue(into[api.User](owner.put(path, base).is(http.StatusOK)), "suspended", "overdue")
			base["status"] = "suspended"
			overdue(into[api.User](owner.put(path, base).is(http.StatusOK)), "suspended", "overdue")
			base["suspension"] = "none"
			owner.put(path, base).field("suspension")
			for _, file := range []string{"username,status\nalice,active\nbob,suspended\n", "username,status\nalice,suspended\nbob,\n", "username,phone\nalice,1\nbob,2\n"} {
				owner.do(http.MethodPost, "/users/import?existing=update", file, "Content-Type", csvType).is(http.StatusOK)
				overdue(user(t, alice), "suspended", "overdue")
				overdue(user(t, bob), "suspended", "overdue")
			}
		})
		t.Run("an operator lifts it, and a payment does", func(t *testing.T) {
			owner := b.owner.in(t)
			path := "/users/" + bob.String()
			lifted := into[api.User](owner.patch(path, object{"status": "active"}).is(http.StatusOK))
			assert.Equal(t, "active none", string(lifted.Status)+" "+string(lifted.Suspension))
			suspended := into[api.User](owner.patch(path, object{"status": "suspended"}).is(http.StatusOK))
			assert.Equal(t, "suspended none", string(suspended.Status)+" "+string(suspended.Suspension), "this time it was the operator")
			for _, id := range []uuid.UUID{alice, bob} {
				owner.post("/payments", object{"user_id": id, "amount": eur("36")}).is(http.StatusCreated)
			}
			paid := user(t, alice)
			assert.Equal(t, "active none", string(paid.Status)+" "+string(paid.Suspension))
			assert.Empty(t, paid.Groups)
			assert.Equal(t, api.UserStatus("suspended"), user(t, bob).Status)
			assert.Empty(t, into[api.DunningList](owner.get("/billing/dunning").is(http.StatusOK)).Items)
		})
	})
}
