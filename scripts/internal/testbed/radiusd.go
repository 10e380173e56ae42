package testbed

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Get asks a server by HTTP; an answer other than 200 is an error. The caller closes the
// body.
func Get(ctx context.Context, url string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return response.Body, nil
}

// Metrics are those of radiusd, by name and labels, and their sums by name alone.
type Metrics map[string]float64

// Scrape reads the metrics of the radiusd that has them at the address.
func Scrape(ctx context.Context, address string) (Metrics, error) {
	body, err := Get(ctx, "http://"+address+"/metrics")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	m := Metrics{}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		metric, text, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			name, _, labelled := strings.Cut(metric, "{")
			m[name] += value
			if labelled {
				m[metric] = value
			}
		}
	}
	return m, lines.Err()
}

// Since is how much each of the metrics has grown.
func (m Metrics) Since(before Metrics) Metrics {
	d := Metrics{}
	for name, value := range m {
		d[name] = value - before[name]
	}
	return d
}

// By returns the metric of a name for each value of its only label.
func (m Metrics) By(name, label string) map[string]float64 {
	values := map[string]float64{}
	for metric, value := range m {
		if rest, ok := strings.CutPrefix(metric, name+"{"+label+`="`); ok {
			values[strings.TrimSuffix(rest, `"}`)] = value
		}
	}
	return values
}

// Profile writes a CPU profile of the radiusd with its metrics at the address into a
// file. The length is in whole seconds, at least one.
func Profile(ctx context.Context, address string, length time.Duration, path string) error {
	body, err := Get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, max(1, int(length.Seconds()))))
	if err != nil {
		return err
	}
	defer body.Close()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, body); err != nil {
		return err
	}
	return file.Close()
}
