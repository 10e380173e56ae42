package deploy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// operations is the page that alerts point to.
const operations = "../docs/operations.md"

// ruleFile is a file of Prometheus rules.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert,omitempty"`
	Record      string            `yaml:"record,omitempty"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func alerts(t testing.TB) []rule {
	t.Helper()
	var all []rule
	for _, group := range load[ruleFile](t, "prometheus/alerts.yaml").Groups {
		all = append(all, group.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool := testserver.Program(t, "promtool")
	tool(t, promtool, "check", "rules", "prometheus/alerts.yaml")
	tool(t, promtool, "test", "rules", "prometheus/alerts_test.yaml")
	tested := file(t, "prometheus/alerts_test.yaml")
	for _, a := range alerts(t) {
		require.Contains(t, tested, a.Alert, "no test has this alert fire")
	}
}

func TestPrometheusConfiguration(t *testing.T) {
	t.Parallel()
	tool(t, testserver.Program(t, "promtool"), "check", "config", "--syntax-only", "compose/prometheus.yaml")
}

func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	headings := headingsOf(t, operations)
	for _, a := range alerts(t) {
		require.Contains(t, []string{"critical", "warning"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
		page, anchor, found := strings.Cut(a.Annotations["runbook"], "#")
		require.True(t, found, a.Alert)
		require.Equal(t, "docs/operations.md", page, a.Alert)
		require.Contains(t, headings, anchor, a.Alert)
	}
	for _, heading := range headings {
		require.True(t, !strings.HasPrefix(heading, "radiusd") || slices.ContainsFunc(alerts(t), func(a rule) bool {
			return strings.ToLower(a.Alert) == heading
		}), "%s has a heading %s and there is no such alert", operations, heading)
	}
}

// headingsOf returns the anchors of a page's headings, as code hosts make them.
func headingsOf(t testing.TB, path string) []string {
	t.Helper()
	var anchors []string
	for line := range strings.Lines(file(t, path)) {
		hashes, heading, found := strings.Cut(line, " ")
		if !found || strings.Trim(hashes, "#") != "" || hashes == "" {
			continue
		}
		anchor := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(heading)), " ", "-")
		anchors = append(anchors, regexp.MustCompile(`[^\w-]`).ReplaceAllString(anchor, ""))
	}
	return anchors
}

// dashboard is what the tests look at of a Grafana dashboard.
type dashboard struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct {
		List []struct{ Expr string }
	}
}

type panel struct {
	ID      int
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H int }
	Targets []struct{ RefID, Expr string }
}

// expressions are all queries of the dashboard, its variables filled in.
func (d *dashboard) expressions() []string {
	var list []string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			list = append(list, target.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		list = append(list, a.Expr)
	}
	for i := range list {
		list[i] = strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*").Replace(list[i])
	}
	return list
}

func readDashboard(t testing.TB) *dashboard {
	t.Helper()
	var d dashboard
	require.NoError(t, json.Unmarshal([]byte(file(t, "grafana/radiusd.json")), &d))
	return &d
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	require.NotEmpty(t, d.UID)
	require.NotEmpty(t, d.Title)
	ids := make(map[int]string)
	cells := make(map[[2]int]string)
	for _, p := range d.Panels {
		require.Empty(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = p.Title
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, cells[cell], "%s lies on another panel", p.Title)
				cells[cell] = p.Title
			}
		}
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
	}
	// promtool reads rules, so the queries become some.
	var asRules ruleFile
	asRules.Groups = append(asRules.Groups, struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}{Name: "dashboard"})
	for i, expr := range d.expressions() {
		asRules.Groups[0].Rules = append(asRules.Groups[0].Rules, rule{Record: fmt.Sprintf("panel:%d", i), Expr: expr})
	}
	text, err := yaml.Marshal(asRules)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "dashboard.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	tool(t, testserver.Program(t, "promtool"), "check", "rules", path)
}

// exposition is what a scrape returned: for each metric the values that each of
// its labels has.
type exposition map[string]map[string][]string

var (
	sampleLine = regexp.MustCompile(`^([a-z_][a-z0-9_]*)(?:\{(.*)\})? `)
	labelPair  = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	// A metric in PromQL, with what selects its series.
	selector = regexp.MustCompile(`\b((?:radiusd|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	// Grouping by labels.
	grouping = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
)

func scrape(t testing.TB, r *running) exposition {
	t.Helper()
	e := make(exposition)
	lines := bufio.NewScanner(strings.NewReader(r.get(t, "/metrics")))
	for lines.Scan() {
		sample := sampleLine.FindStringSubmatch(lines.Text())
		if sample == nil {
			require.True(t, strings.HasPrefix(lines.Text(), "#"), lines.Text())
			continue
		}
		labels := e[sample[1]]
		if labels == nil {
			// What Prometheus adds to each series.
			labels = map[string][]string{"job": {"radiusd"}, "instance": {".*"}}
			e[sample[1]] = labels
		}
		for _, pair := range labelPair.FindAllStringSubmatch(sample[2], -1) {
			labels[pair[1]] = append(labels[pair[1]], pair[2])
		}
	}
	return e
}

// requireExposed holds that each metric of a PromQL expression is exposed, and that
// the series it selects are.
func (e exposition) requireExposed(t testing.TB, expr string) (metrics int) {
	t.Helper()
	labels := make(map[string]bool)
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		metrics++
		exposed, ok := e[s[1]]
		require.True(t, ok, "the server does not expose %s", s[1])
		for label := range exposed {
			labels[label] = true
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			require.Contains(t, exposed, m[1], "%s has no such label", s[1])
			for value := range strings.SplitSeq(m[3], "|") {
				require.Contains(t, exposed[m[1]], value, "%s has no series with this %s", s[1], m[1])
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			require.Contains(t, labels, strings.TrimSpace(label), expr)
		}
	}
	return metrics
}

// TestMetricsExist holds that alerts, dashboard and documentation name metrics that
// a running server exposes, down to the values of labels.
func TestMetricsExist(t *testing.T) {
	exposed := scrape(t, serve(t))
	metrics := 0
	for _, a := range alerts(t) {
		if strings.Contains(a.Expr, "radiusd_jobs_") {
			continue // of the process with the admin API, see internal/cli
		}
		metrics += exposed.requireExposed(t, a.Expr)
	}
	for _, expr := range readDashboard(t).expressions() {
		metrics += exposed.requireExposed(t, expr)
	}
	require.NotZero(t, metrics)
	for _, page := range []string{operations, "../docs/accounting.md"} {
		for _, name := range regexp.MustCompile("`(radiusd_[a-z0-9_]+)").FindAllStringSubmatch(file(t, page), -1) {
			if name[1] == "radiusd_api_certificate_expiry_timestamp_seconds" {
				continue // with TLS only, see cmd/adminapi
			}
			if _, histogram := exposed[name[1]+"_bucket"]; !histogram {
				require.Contains(t, exposed, name[1], page)
			}
		}
	}
}
