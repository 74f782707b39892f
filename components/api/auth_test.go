package api_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/api"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
	"github.com/hyperfleet/hyperfleet/libs/service"
)

func TestWhoIsNotKnownIsToldSoWhateverTheTokensSize(t *testing.T) {
	cfg := api.DefaultConfig()
	cfg.DatabaseURL, cfg.Migrate = service.Secret(pgdev.Database(t)), true
	cfg.Auth.Issuers = []api.Issuer{{Issuer: "nobody", JWKSFile: "none", Audiences: []string{"hyperfleet"}}}
	cfg.Auth.Bindings = []api.Binding{{Issuer: "nobody", Claims: map[string]string{"a": "b"}, Role: "viewer", Tenants: []string{"*"}}}
	r := startWith(t, cfg, nil)
	eventually(t, "served", func() bool { status, _ := read(t, r.url+"/docs"); return status == http.StatusOK })
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	for _, size := range []int{0, 1, 1 << 10, 1_000_000, 1 << 20} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/v1/clusters", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.Repeat("a", size))
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%d bytes: answered %s, %v", size, resp.Status, resp.Header)
		}
	}
	if _, body := read(t, r.admin+"/metrics"); !strings.Contains(body, `hyperfleet_api_auth_failures_total{reason="too_long"} 2`) {
		t.Errorf("not counted:\n%s", body)
	}
}

func TestThatNobodyIsAskedIsSaidAtEveryStart(t *testing.T) {
	said := make(chan struct{})
	log := &record{awake: said, when: "authentication is off"}
	db := pgdev.Database(t)
	r := start(t, db, slog.New(slog.NewTextHandler(log, nil)))
	<-said
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	var quiet bytes.Buffer
	cfg := open()
	cfg.DatabaseURL = service.Secret(db)
	if err := api.Migrate(t.Context(), cfg, &quiet); err != nil || strings.Contains(quiet.String(), "authentication") {
		t.Errorf("said where nothing is served: %v %s", err, quiet.String())
	}
}
