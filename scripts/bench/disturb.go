//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What disturbs a server at half its peak. The load is that of a crowd of NASes, and of
// some more with few requests, whose latency is measured. Each disturbance that asks something of the
// machine, too, has a control that asks the same of the machine and nothing of radiusd:
// on two cores the load generator shares its own with Postgres and with what floods.
type disturbance uint8

const (
	undisturbed disturbance = iota // not one of those that are compared
	nothing
	floodElsewhere
	floodServer
	updateElsewhere
	updateUsers
	readElsewhere
	readAPI
)

const (
	disturbedServer = "radiusd-disturbed" // its users are changed, so it has a database of its own
	readServer      = "radiusd-reads"     // an admin API reads its users
	floodFactor     = 3                   // of the peak
	crowdNASes      = 4
	victimRate      = 3000 // requests a second, whose latency is measured
	// longestDisturbance is when a load ends although its disturbance does not.
	longestDisturbance = time.Minute
	// lookEvery is how often it asks whether all is in force. To answer takes the server
	// a moment, so that more often would disturb.
	lookEvery = 250 * time.Millisecond
)

// bystanders makes a table with as many rows, indexes and triggers as users has, which
// radiusd does not know.
const bystanders = `DROP TABLE IF EXISTS bystanders, bystander_changes;
CREATE TABLE bystanders (LIKE users INCLUDING ALL);
CREATE TABLE bystander_changes (LIKE changes INCLUDING ALL);
CREATE OR REPLACE FUNCTION record_bystander() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bystander_changes (entity, entity_id) VALUES (TG_TABLE_NAME, NEW.id);
	RETURN NULL;
END $$;
INSERT INTO bystanders SELECT * FROM users;
CREATE TRIGGER bystanders_change AFTER UPDATE ON bystanders FOR EACH ROW EXECUTE FUNCTION record_bystander();`

// changeAll gives every row of a table a date of expiry, far enough away to make no
// difference to an answer, or takes it away.
const changeAll = `UPDATE %s SET expires_at = CASE WHEN expires_at IS NULL THEN timestamptz '2100-01-01' END, updated_at = now()`

// An effect is what a disturbance did.
type effect struct {
	crowd    float64       // requests a second
	flooded  float64       // the same, of the NAS that floods
	answered float64       // of those
	delayed  time.Duration // how long the server waited for its core, ready to run
	updated  time.Duration // until the UPDATE was committed
	inForce  time.Duration // until radiusd had all of it, from then on
	reads    reads
}

// measureDisturbed measures the peaks, and then at half of them each disturbance in turn, the
// other way round in every second round.
func (b *bench) measureDisturbed(ctx context.Context) error {
	if len(b.disturbed) == 0 {
		return nil
	}
	b.peaks = map[string]float64{}
	for _, c := range b.disturbed {
		if b.peaks[c.server] > 0 {
			continue
		}
		r, err := b.measure(ctx, c, 0, false)
		if err != nil {
			return fmt.Errorf("peak of %s: %w", c.server, err)
		}
		b.peaks[c.server] = r.perSecond()
		say("peak of %s: %.0f a second", c.server, r.perSecond())
	}
	for round := range b.rounds {
		order := slices.Clone(b.disturbed)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		results := map[string]*result{}
		for _, c := range order {
			r, err := b.measureCalm(ctx, c, victimRate)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			results[c.name] = r
			server, generator := r.busy()
			say("round %d, %-27s %7.0f a second, p50 %v, p99 %v, %d lost, server %.0f %%, generator %.0f %%, others %.1f %%, delayed %v; crowd %.0f, flood %.0f a second, %.0f answered; UPDATE %v, in force after %v",
				round+1, c.name+":", r.perSecond(), r.P50, r.P99, r.Lost, 100*server, 100*generator, 100*r.others(), r.effect.delayed.Round(time.Millisecond),
				r.effect.crowd, r.effect.flooded, r.effect.answered, r.effect.updated.Round(time.Millisecond), r.effect.inForce.Round(time.Millisecond))
		}
		if results["disturbed-reads"] != nil {
			s := b.servers[readServer]
			alone, err := b.readAlone(ctx, s)
			if err != nil {
				return fmt.Errorf("reads alone: %w", err)
			}
			say("round %d, reads beside: %v", round+1, results["disturbed-reads"].effect.reads)
			say("round %d, reads alone:  %v", round+1, alone)
			b.alone = append(b.alone, alone)
		}
		b.under = append(b.under, results)
	}
	return nil
}

// A stage is how the load generator and what disturbs it wait for each other: the
// generator closes one pipe when it begins to count, and counts until the other one is
// closed.
type stage struct {
	begun, end   *os.File
	beginner, up *os.File      // the generator's ends
	delay        time.Duration // of the server, when the generator began
}

func newStage(cmd *exec.Cmd) (s *stage, err error) {
	s = new(stage)
	if s.begun, s.beginner, err = os.Pipe(); err != nil {
		return nil, err
	}
	if s.up, s.end, err = os.Pipe(); err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{s.beginner, s.up}
	return s, nil
}

// started gives the generator its ends up, which it has by now.
func (s *stage) started() { s.beginner.Close(); s.up.Close() }

// await waits until the generator counts.
func (s *stage) await(server int) {
	_, _ = io.Copy(io.Discard, s.begun)
	s.begun.Close()
	s.delay = delayOf(server)
}

// disturb has a crowd send until the load is over, disturbs while it counts, and ends it.
func (b *bench) disturb(ctx context.Context, c *contestant, s *server, st *stage) (e effect, err error) {
	defer st.end.Close()
	var api *adminAPI
	switch c.disturbance {
	case readElsewhere:
		api = b.apis[copyOf(s.database)]
	case readAPI:
		api = b.apis[s.database]
	}
	if api != nil {
		if err := api.signIn(ctx); err != nil {
			return e, err
		}
	}
	begin, end, err := b.crowd(ctx, s, b.ahead(s.name, b.placesFor(s.name).generator), s.auth, "-first", strconv.Itoa(b.sockets), "-nases", strconv.Itoa(crowdNASes),
		"-train", "32", "-prompt", "-rate", strconv.FormatFloat(max(b.peaks[c.server]/2-victimRate, 1), 'f', 0, 64))
	if err != nil {
		return e, err
	}
	if err := begin(); err != nil {
		return e, err
	}
	switch c.disturbance {
	case floodServer, floodElsewhere:
		e, err = b.flood(ctx, c, s, st)
	case updateUsers, updateElsewhere:
		e, err = b.update(ctx, c.disturbance, s, st)
	case readElsewhere, readAPI:
		e, err = b.readBeside(ctx, s, api, st)
	default:
		st.await(s.process.PID())
		err = sleep(ctx, b.duration)
	}
	e.delayed = delayOf(s.process.PID()) - st.delay
	st.end.Close()
	if err == nil {
		err = sleep(ctx, 50*time.Millisecond) // until the generator has noticed
	}
	var ended error
	e.crowd, ended = end()
	if err == nil && (c.disturbance == updateUsers || c.disturbance == updateElsewhere) {
		_, err = b.postgres.SQL(s.database, "-c", "VACUUM ANALYZE") // else Postgres does, beside what is measured next
	}
	return e, errors.Join(err, ended)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crowd starts a crowd, with the command before it, which sends from begin on until end, which
// returns its rate.
func (b *bench) crowd(ctx context.Context, s *server, ahead []string, target string, args ...string) (begin func() error, end func() (float64, error), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	args = append(append(ahead, self, "crowd", "-server", target, "-users", strconv.Itoa(s.users),
		"-of", strconv.Itoa(b.sockets+crowdNASes+1)), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	var out strings.Builder
	cmd.Stdout = &out
	begin = func() error {
		_, err := input.Write([]byte{'\n'})
		return err
	}
	end = func() (float64, error) {
		input.Close()
		if err := cmd.Wait(); err != nil {
			return 0, fmt.Errorf("crowd: %w", err)
		}
		return strconv.ParseFloat(strings.TrimSpace(out.String()), 64)
	}
	return begin, end, cmd.Start()
}

// flood has another NAS flood.
func (b *bench) flood(ctx context.Context, c *contestant, s *server, st *stage) (e effect, err error) {
	target := s.auth
	if c.disturbance == floodElsewhere {
		nobody, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return e, err
		}
		defer nobody.Close()
		target = nobody.LocalAddr().String()
	}
	begin, end, err := b.crowd(ctx, s, front(b.places.generator), target, "-first", strconv.Itoa(b.sockets+crowdNASes), "-ports", "4",
		"-rate", strconv.FormatFloat(floodFactor*b.peaks[c.server], 'f', 0, 64))
	if err != nil {
		return e, err
	}
	st.await(s.process.PID())
	before, err := scrape(ctx, s.metrics)
	if err != nil {
		return e, err
	}
	if err := begin(); err != nil {
		return e, err
	}
	if err := sleep(ctx, b.duration); err != nil {
		return e, err
	}
	if e.flooded, err = end(); err != nil {
		return e, err
	}
	after, err := scrape(ctx, s.metrics)
	e.answered = after.Since(before)["radiusd_responses_total"]/b.duration.Seconds() - b.peaks[c.server]/2
	return e, err
}

// update changes all rows of a table, and waits until radiusd has read them.
func (b *bench) update(ctx context.Context, kind disturbance, s *server, st *stage) (e effect, err error) {
	table := "users"
	if kind == updateElsewhere {
		table = "bystanders"
	}
	st.await(s.process.PID())
	start := time.Now()
	if _, err := b.postgres.SQL(s.database, "-c", fmt.Sprintf(changeAll, table)); err != nil {
		return e, err
	}
	committed := time.Now()
	e.updated = committed.Sub(start)
	// They wait to be read soon after the commit, and then they do not any more.
	for waiting := false; kind == updateUsers; {
		if err := sleep(ctx, lookEvery); err != nil {
			return e, err
		}
		metrics, err := scrape(ctx, s.metrics)
		if err != nil {
			return e, err
		}
		pending := metrics["radiusd_directory_pending_users"] > 0
		if waiting && !pending {
			e.inForce = time.Since(committed)
			break
		}
		if waiting = waiting || pending; time.Since(start) > longestDisturbance {
			return e, errors.New("the users' change is not in force")
		}
	}
	return e, nil
}

// waited is the part of the time that the server was ready to run and waited for its core,
// in percent.
func (r *result) waited() float64 { return 100 * r.effect.delayed.Seconds() / r.Elapsed.Seconds() }
