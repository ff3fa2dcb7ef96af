// Grafana's own Prometheus data source (github.com/grafana/grafana/pkg/promlib) against a URL: health
// check, queries, exemplars and resources, as the Grafana server runs them. Prints what came back as
// JSON, one object a line, for promlib_test.py to look at.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	sdklog "github.com/grafana/grafana-plugin-sdk-go/backend/log"
	"github.com/grafana/grafana-plugin-sdk-go/data"
	"github.com/grafana/grafana/pkg/promlib"
)

type line struct {
	Name   string         `json:"name"`
	Status int            `json:"status"`
	Error  string         `json:"error,omitempty"`
	Frames []frame        `json:"frames,omitempty"`
	Body   map[string]any `json:"body,omitempty"`
}

type frame struct {
	Labels  data.Labels `json:"labels"`
	Type    string      `json:"type"`
	Rows    int         `json:"rows"`
	Values  []string    `json:"values"`
	Notices []string    `json:"notices,omitempty"`
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func put(l line) { must(json.NewEncoder(os.Stdout).Encode(l)) }

func describe(f *data.Frame) frame {
	out := frame{Rows: f.Rows()}
	if f.Meta != nil {
		out.Type = string(f.Meta.Type)
		for _, n := range f.Meta.Notices {
			out.Notices = append(out.Notices, n.Text)
		}
	}
	if len(f.Fields) == 0 {
		return out
	}
	last := f.Fields[len(f.Fields)-1]
	out.Labels = last.Labels
	for i := 0; i < last.Len() && i < 5; i++ {
		v, ok := last.ConcreteAt(i)
		out.Values = append(out.Values, fmt.Sprint(v, ok))
	}
	return out
}

func main() {
	url, method := os.Args[1], os.Args[2]
	end, err := strconv.ParseInt(os.Args[3], 10, 64)
	must(err)
	ctx := context.Background()
	settings := &backend.DataSourceInstanceSettings{
		ID: 1, UID: "m", Type: "prometheus", Name: "Moraine", URL: url,
		JSONData: []byte(`{"httpMethod":"` + method + `","prometheusType":"Mimir","prometheusVersion":"2.9.1"}`),
	}
	plugin := backend.PluginContext{PluginID: "prometheus", OrgID: 1, DataSourceInstanceSettings: settings}
	service := promlib.NewService(nil, sdklog.New(), nil)

	health, err := service.CheckHealth(ctx, &backend.CheckHealthRequest{PluginContext: plugin})
	must(err)
	put(line{Name: "health", Status: int(health.Status), Error: health.Message})

	query := func(name, expression string, more string) {
		model := fmt.Sprintf(`{"expr":%q,"refId":"A","intervalMs":15000,"maxDataPoints":1000%s}`, expression, more)
		answer, err := service.QueryData(ctx, &backend.QueryDataRequest{
			PluginContext: plugin,
			Queries: []backend.DataQuery{{
				RefID: "A", JSON: []byte(model), MaxDataPoints: 1000, Interval: 15 * time.Second,
				TimeRange: backend.TimeRange{From: time.Unix(end-600, 0), To: time.Unix(end, 0)},
			}},
		})
		must(err)
		got := answer.Responses["A"]
		l := line{Name: name, Status: int(got.Status)}
		if got.Error != nil {
			l.Error = got.Error.Error()
		}
		for _, f := range got.Frames {
			l.Frames = append(l.Frames, describe(f))
		}
		put(l)
	}
	query("range", `sum by (job) (rate(requests_total[1m]))`, `,"range":true`)
	query("instant", `requests_total`, `,"instant":true`)
	query("both", `requests_total`, `,"range":true,"instant":true`)
	query("exemplars", `requests_total`, `,"range":true,"exemplar":true`)
	query("heatmap", `latency`, `,"range":true`)
	query("warning", `rate(latency_gauge[1m])`, `,"range":true`)
	query("bad", `requests_total{`, `,"range":true`)
	query("utf8", `{"http.status", "l.x"="1"}`, `,"instant":true`)
	query("interval", `rate(requests_total[$__rate_interval])`, `,"range":true`)

	// With httpMethod GET the data source answers 405 to a POST itself, and the browser asks again.
	resource := func(path, url string, by string, body string) {
		name := url
		if by == "POST" && method == "GET" {
			url, by, body = url+"?"+body, "GET", ""
		}
		request := &backend.CallResourceRequest{
			PluginContext: plugin, Path: path, URL: url, Method: by, Body: []byte(body),
			Headers: map[string][]string{"Content-Type": {"application/x-www-form-urlencoded"}},
		}
		err := service.CallResource(ctx, request, backend.CallResourceResponseSenderFunc(
			func(r *backend.CallResourceResponse) error {
				l := line{Name: "resource " + name, Status: r.Status}
				must(json.Unmarshal(r.Body, &l.Body))
				put(l)
				return nil
			}))
		must(err)
	}
	span := fmt.Sprintf("start=%d&end=%d", end-600, end)
	resource("api/v1/labels", "api/v1/labels?"+span, "GET", "")
	resource("api/v1/labels", "api/v1/labels", "POST", "match[]=requests_total&"+span)
	resource("api/v1/label/job/values", "api/v1/label/job/values?"+span+"&limit=1", "GET", "")
	resource("api/v1/label/__name__/values", "api/v1/label/__name__/values?"+span, "GET", "")
	resource("api/v1/label/U__l_2e_x/values", "api/v1/label/U__l_2e_x/values?"+span, "GET", "")
	resource("api/v1/series", "api/v1/series", "POST", "match[]=requests_total&"+span)
	resource("api/v1/metadata", "api/v1/metadata", "GET", "")
	resource("api/v1/rules", "api/v1/rules", "GET", "")
	resource("api/v1/status/buildinfo", "api/v1/status/buildinfo", "GET", "")
}
