package client

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Token returns the bearer token of one request. It is asked each time, may be
// asked at the same time, and never shows the token in its error.
type Token func() (string, error)

// TokenText is a token that never changes.
func TokenText(text string) Token { return func() (string, error) { return checked(text) } }

// TokenFile is the token in a file, which is read again when it has changed, as
// one that Kubernetes mounts does.
func TokenFile(path string) Token {
	f := &tokenFile{path: path}
	return f.token
}

// Bearer returns a transport that sends the token with every request over rt;
// nil means a transport as [New] makes. Where there is no token, no request
// is sent.
func Bearer(rt http.RoundTripper, token Token) http.RoundTripper {
	if rt == nil {
		rt = newTransport()
	}
	return bearer{next: rt, token: token}
}

type bearer struct {
	next  http.RoundTripper
	token Token
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := b.token()
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // a transport closes it, always
		}
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(req)
}

type tokenFile struct {
	path string

	mu      sync.Mutex
	text    string
	changed time.Time // of the file whose text this is
	size    int64
}

func (f *tokenFile) token() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	if f.text != "" && info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return f.text, nil
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token, err := checked(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fmt.Errorf("token file %s: %w", f.path, err)
	}
	f.text, f.changed, f.size = token, info.ModTime(), info.Size()
	return token, nil
}

// checked refuses what cannot stand in a header.
func checked(token string) (string, error) {
	if token == "" {
		return "", errors.New("the token is empty")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the token has white space or characters that no token has")
	}
	return token, nil
}
