package client_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/fleet/client"
)

// sees serves and returns a client that sends the token, and what came last.
func sees(t *testing.T, token client.Token) (*client.Client, *string) {
	t.Helper()
	last := new(string)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = strings.Join(r.Header.Values("Authorization"), "|")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL, client.Bearer(nil, token), 0)
	if err != nil {
		t.Fatal(err)
	}
	return c, last
}

func TestATokenIsSentWithEveryRequest(t *testing.T) {
	c, last := sees(t, client.TokenText("abc"))
	for range 2 {
		if _, err := c.Get(t.Context(), fleet.Clusters, "x"); err != nil || *last != "Bearer abc" {
			t.Errorf("sent %q, %v", *last, err)
		}
	}
}

func TestATokenFileIsReadAgainWhenItHasChanged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	c, last := sees(t, client.TokenFile(path))
	if _, err := c.Get(t.Context(), fleet.Clusters, "x"); fleet.ErrorCode(err) != fleet.Unavailable || !strings.Contains(err.Error(), path) {
		t.Errorf("no file yet: %v", err)
	}
	for n, text := range []string{"first\n", "second", "third-longer"} {
		if n == 2 { // as Kubernetes does: another file under the same name
			next := filepath.Join(dir, "next")
			if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(next, path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), fleet.Clusters, "x"); err != nil || *last != "Bearer "+strings.TrimSpace(text) {
			t.Errorf("sent %q for %q, %v", *last, text, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), fleet.Clusters, "x"); err == nil {
		t.Error("a token whose file is gone was sent")
	}
}

func TestWhatIsNoTokenIsNotSentAndNotShown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, text := range []string{"", " \n", "hunter2 hunter2", "hunter2\r\nX-Evil: 1", "hunter2\x00", "hünter2"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, token := range []client.Token{client.TokenText(text), client.TokenFile(path)} {
			c, last := sees(t, token)
			_, err := c.Get(t.Context(), fleet.Clusters, "x")
			if err == nil || *last != "" || strings.Contains(err.Error(), "nter2") {
				t.Errorf("%q: sent %q, %v", text, *last, err)
			}
		}
	}
}
