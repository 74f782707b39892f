package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// document is an error as it is answered.
type document struct {
	Type, Title, Detail string
	Status              int
	Code                fleet.Code
	RequestID           string `json:"request_id"`
	Errors              []fleet.Problem
}

func TestBadInputIsNamedAndStoresNothing(t *testing.T) {
	b := newBed(t)
	c := b.create("prod-1", `"region":"us-east"`)
	it := "/v1/clusters/" + c.ID
	r := want[fleet.Report](b, 201, "POST", it+"/statuses", `{"adapter_name":"dns","phase":"Running"}`)
	gone := "/v1/clusters/0190a5c1-7d31-7cc5-b7d0-3e3a5a8e1f10"
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	media := func(s ...string) http.Header { return http.Header{"Content-Type": s} }
	big := `{"name":"a","spec":{"a":"` + strings.Repeat("x", 600<<10) + `"}}`
	const due = "/v1/clusters?due=true&view=brief&backoffNotReady=1s&backoffReady=1s"

	tests := map[string]struct {
		request
		status   int
		code     fleet.Code
		pointers []string
	}{
		"malformed JSON":               {request{"POST", "/v1/clusters", nil, `{"name":`}, 400, fleet.BadRequest, []string{"/name"}},
		"no body":                      {request{"POST", "/v1/clusters", media("application/json"), ``}, 400, fleet.BadRequest, []string{""}},
		"two documents":                {request{"POST", "/v1/clusters", nil, `{"name":"a"}{"name":"b"}`}, 400, fleet.BadRequest, []string{""}},
		"NUL bytes and double names":   {request{"POST", "/v1/clusters", nil, `{"name":"a\u0000","name":"b","spec":{"x":1e999}}`}, 400, fleet.BadRequest, []string{"/name", "/name", "/spec/x"}},
		"a raw NUL":                    {request{"POST", "/v1/clusters", nil, "{\"name\":\"a\x00\"}"}, 400, fleet.BadRequest, []string{"/name"}},
		"bad UTF-8":                    {request{"POST", "/v1/clusters", nil, "{\"name\":\"\xff\"}"}, 400, fleet.BadRequest, []string{"/name"}},
		"too deep":                     {request{"POST", "/v1/clusters", nil, `{"name":"a","spec":{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}}`}, 400, fleet.BadRequest, []string{"/spec/a" + strings.Repeat("/0", 62)}},
		"unknown fields, wrong types":  {request{"POST", "/v1/clusters", nil, `{"nam":"a","labels":[],"spec":{"version":4}}`}, 422, fleet.Invalid, []string{"/labels", "/nam", "/name", "/spec/version"}},
		"users do not write status":    {request{"POST", "/v1/clusters", nil, `{"name":"a","status":{"phase":"Ready"}}`}, 422, fleet.Invalid, []string{"/status"}},
		"bad name and labels":          {request{"POST", "/v1/clusters", nil, `{"name":"A_b","labels":{"bad key":"x","k":"-"}}`}, 422, fleet.Invalid, []string{"/labels/bad key", "/labels/k", "/name"}},
		"a taken name":                 {request{"POST", "/v1/clusters", nil, `{"name":"prod-1"}`}, 409, fleet.NameTaken, []string{"/name"}},
		"a large spec":                 {request{"POST", "/v1/clusters", nil, big}, 422, fleet.Invalid, []string{"/spec"}},
		"a body over 1 MiB":            {request{"POST", "/v1/clusters", nil, strings.Repeat(" ", 1<<20) + `{}`}, 413, fleet.TooLarge, nil},
		"a form":                       {request{"POST", "/v1/clusters", form, `name=a`}, 415, fleet.UnsupportedMedia, nil},
		"another charset":              {request{"POST", "/v1/clusters", media("application/json; charset=latin1"), `{}`}, 415, fleet.UnsupportedMedia, nil},
		"two content types":            {request{"POST", "/v1/clusters", media("application/json", "text/plain"), `{}`}, 415, fleet.UnsupportedMedia, nil},
		"a merge patch is no creation": {request{"POST", "/v1/clusters", media("application/merge-patch+json"), `{"name":"x"}`}, 415, fleet.UnsupportedMedia, nil},
		"a compressed body":            {request{"POST", "/v1/clusters", http.Header{"Content-Encoding": {"gzip"}}, `{"name":"x"}`}, 415, fleet.UnsupportedMedia, nil},
		"a parameter of create":        {request{"POST", "/v1/clusters?dryRun=true", nil, `{"name":"x"}`}, 400, fleet.BadRequest, []string{"dryRun"}},

		"a patch of the name":            {request{"PATCH", it, nil, `{"name":"b","generation":7}`}, 422, fleet.Invalid, []string{"/generation", "/name"}},
		"a patch that is a list":         {request{"PATCH", it, nil, `[]`}, 422, fleet.Invalid, []string{""}},
		"a patch to a spec that is none": {request{"PATCH", it, nil, `{"spec":[1]}`}, 422, fleet.Invalid, []string{"/spec"}},
		"a patch to wrong types":         {request{"PATCH", it, nil, `{"spec":{"version":4,"dns":{"ttl":"x"}}}`}, 422, fleet.Invalid, []string{"/spec/dns/ttl", "/spec/version"}},
		"a patch to too many labels":     {request{"PATCH", it, nil, `{"labels":` + labels(64) + `,"spec":{"version":4}}`}, 422, fleet.Invalid, []string{"/labels", "/spec/version"}},
		"a patch to a large spec":        {request{"PATCH", it, nil, `{"spec":{"a":"` + strings.Repeat("x", 600<<10) + `"}}`}, 422, fleet.Invalid, []string{"/spec"}},
		"a JSON Patch":                   {request{"PATCH", it, media("application/json-patch+json"), `[]`}, 415, fleet.UnsupportedMedia, nil},
		"a patch of nothing":             {request{"PATCH", gone, nil, `{"labels":{}}`}, 404, fleet.NotFound, nil},

		"an unknown id":             {request{"GET", gone, nil, ""}, 404, fleet.NotFound, nil},
		"no uuid":                   {request{"GET", "/v1/clusters/prod-1", nil, ""}, 404, fleet.NotFound, nil},
		"an id with U+0000":         {request{"GET", "/v1/clusters/%00", nil, ""}, 404, fleet.NotFound, nil},
		"an id in braces":           {request{"DELETE", "/v1/clusters/{" + c.ID + "}", nil, ""}, 404, fleet.NotFound, nil},
		"delete of nothing":         {request{"DELETE", gone, nil, ""}, 404, fleet.NotFound, nil},
		"an unknown path":           {request{"GET", "/v1/clusters/" + c.ID + "/nothing", nil, ""}, 404, fleet.NotFound, nil},
		"a path that needs mending": {request{"POST", "//v1//clusters", nil, `{"name":"x"}`}, 404, fleet.NotFound, nil},
		"an unknown version":        {request{"GET", "/v2/clusters", nil, ""}, 404, fleet.NotFound, nil},
		"a method too many":         {request{"PUT", it, nil, `{}`}, 405, fleet.MethodNotAllowed, nil},
		"a method of no standard":   {request{"BREW", "/clusters", nil, ""}, 405, fleet.MethodNotAllowed, nil},

		"parameters, all wrong": {request{"GET", "/v1/clusters?limit=0&phase=ready&name=A&updatedSince=today&deleted=yes&lables=x&labels=a&continue=zz&continue=zz", nil, ""}, 400, fleet.BadRequest,
			[]string{"continue", "deleted", "labels", "lables", "limit", "name", "phase", "updatedSince"}},
		"a bad selector":              {request{"GET", "/v1/clusters?labelSelector=a+in+(", nil, ""}, 400, fleet.BadRequest, []string{"labelSelector"}},
		"two selectors":               {request{"GET", "/v1/clusters?labelSelector=a&labels=a:b", nil, ""}, 400, fleet.BadRequest, []string{"labels"}},
		"a bad pair":                  {request{"GET", "/v1/clusters?labels=a:b,c,-:d", nil, ""}, 400, fleet.BadRequest, []string{"labels", "labels"}},
		"phases wanted and unwanted":  {request{"GET", "/v1/clusters?phase=Ready,!Failed", nil, ""}, 400, fleet.BadRequest, []string{"phase"}},
		"too high a limit":            {request{"GET", "/v1/clusters?limit=1001", nil, ""}, 400, fleet.BadRequest, []string{"limit"}},
		"a limit with a sign":         {request{"GET", "/v1/clusters?limit=%2B5", nil, ""}, 400, fleet.BadRequest, []string{"limit"}},
		"a bad cursor":                {request{"GET", "/v1/clusters?continue=AAAA", nil, ""}, 400, fleet.BadRequest, []string{"continue"}},
		"a query that cannot be read": {request{"GET", "/v1/clusters?limit=%zz", nil, ""}, 400, fleet.BadRequest, []string{""}},
		"brief, but not due":          {request{"GET", "/v1/clusters?view=brief&backoffReady=1s", nil, ""}, 400, fleet.BadRequest, []string{"backoffReady", "view"}},
		"due without its parameters":  {request{"GET", "/v1/clusters?due=true", nil, ""}, 400, fleet.BadRequest, []string{"backoffNotReady", "backoffReady", "view"}},
		"due, all wrong": {request{"GET", "/v1/clusters?due=maybe&view=full&backoffNotReady=-1s&backoffReady=10&phase=Ready&deleted=true", nil, ""}, 400, fleet.BadRequest,
			[]string{"backoffNotReady", "backoffReady", "deleted", "due", "phase", "view"}},
		"a bad cursor of due": {request{"GET", due + "&continue=AAAA", nil, ""}, 400, fleet.BadRequest, []string{"continue"}},

		"published, all wrong":    {request{"POST", "/v1/clusters/published", nil, `{"tokens":[],"backoffNotReady":"x","more":1}`}, 422, fleet.Invalid, []string{"/backoffNotReady", "/backoffReady", "/more", "/tokens"}},
		"tokens that never were":  {request{"POST", "/v1/clusters/published", nil, `{"tokens":["x","y"],"backoffNotReady":"1s","backoffReady":"1s"}`}, 400, fleet.BadRequest, []string{"/tokens/0", "/tokens/1"}},
		"published by GET":        {request{"GET", "/v1/clusters/published", nil, ""}, 405, fleet.MethodNotAllowed, nil},
		"a report, all wrong":     {request{"POST", it + "/statuses", nil, `{"adapter":"dns","phase":"Ready","data":[1],"message":7}`}, 422, fleet.Invalid, []string{"/adapter", "/adapter_name", "/data", "/message", "/phase"}},
		"a report of the future":  {request{"POST", it + "/statuses", nil, `{"adapter_name":"dns","phase":"Running","observed_generation":2}`}, 422, fleet.Invalid, []string{"/observed_generation"}},
		"a report on nothing":     {request{"POST", gone + "/statuses", nil, `{"adapter_name":"dns","phase":"Running"}`}, 404, fleet.NotFound, nil},
		"a long message":          {request{"POST", it + "/statuses", nil, `{"adapter_name":"dns","phase":"Running","message":"` + strings.Repeat("x", 4097) + `"}`}, 422, fleet.Invalid, []string{"/message"}},
		"large data":              {request{"POST", it + "/statuses", nil, `{"adapter_name":"dns","phase":"Running","data":{"a":"` + strings.Repeat("x", 32<<10) + `"}}`}, 422, fleet.Invalid, []string{"/data"}},
		"history of nothing":      {request{"GET", gone + "/statuses", nil, ""}, 404, fleet.NotFound, nil},
		"history, all wrong":      {request{"GET", it + "/statuses?adapter=DNS&limit=x&phase=Failed", nil, ""}, 400, fleet.BadRequest, []string{"adapter", "limit", "phase"}},
		"a bad cursor of history": {request{"GET", it + "/statuses?continue=AAAA", nil, ""}, 400, fleet.BadRequest, []string{"continue"}},
		"an unknown entry":        {request{"GET", it + "/statuses/" + c.ID, nil, ""}, 404, fleet.NotFound, nil},
		"an entry that is no id":  {request{"DELETE", it + "/statuses/x", nil, ""}, 404, fleet.NotFound, nil},
		"an entry of another":     {request{"PATCH", gone + "/statuses/" + r.ID, nil, `{"message":"x"}`}, 404, fleet.NotFound, nil},
		"a patch of its phase":    {request{"PATCH", it + "/statuses/" + r.ID, nil, `{"phase":"Complete"}`}, 422, fleet.Invalid, []string{"/phase"}},
	}
	before := b.stored()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := b.send(tt.request)
			var p document
			if err := json.Unmarshal(got.body, &p); err != nil {
				t.Fatalf("answered %d %q", got.status, got.body)
			}
			if got.status != tt.status || p.Status != tt.status || p.Code != tt.code {
				t.Fatalf("answered %d %s, want %d %s", got.status, got.body, tt.status, tt.code)
			}
			var pointers []string
			for _, e := range p.Errors {
				pointers = append(pointers, e.Pointer)
			}
			if diff := cmp.Diff(tt.pointers, pointers); diff != "" {
				t.Errorf("pointers, wanted (-) and named (+):\n%s%s", diff, got.body)
			}
			if p.Title != http.StatusText(tt.status) || p.Detail == "" || p.RequestID != got.header.Get("X-Request-Id") {
				t.Errorf("not a whole problem document: %s", got.body)
			}
			if tt.status == 405 && got.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if after := b.stored(); after != before {
		t.Errorf("something was stored:\n%s\nwas\n%s", after, before)
	}
	if log := b.log.String(); log != "" {
		t.Errorf("bad input is no event for the log: %s", log)
	}
}

// labels is an object of n labels that nothing has yet.
func labels(n int) string {
	var all []string
	for i := range n {
		all = append(all, `"k`+strings.Repeat("x", i%60)+string(rune('a'+i/60))+`":""`)
	}
	return "{" + strings.Join(all, ",") + "}"
}
