package nameserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/nameserver/binddev"
	"github.com/hyperfleet/hyperfleet/libs/fleet/fleettest"
)

// claim is what a cluster of this name wants.
func claim(cluster, tenant, name, target string) Claim {
	base := name + "." + binddev.Zone
	head := func(at string) dns.RR_Header {
		return dns.RR_Header{Name: at + base, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}
	}
	return Claim{Cluster: cluster, Tenant: tenant, Mark: "_hyperfleet." + base, Records: []dns.RR{
		&dns.CNAME{Hdr: head("api."), Target: target}, &dns.CNAME{Hdr: head("*.apps."), Target: target}}}
}

func open(t *testing.T, b *binddev.Server) *Server {
	t.Helper()
	s, err := Open(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// answers are what the server has for a claim's names, and its mark.
func answers(t *testing.T, b *binddev.Server, c Claim) []string {
	t.Helper()
	var all []string
	for _, r := range c.Records {
		have, err := ask(t.Context(), b.Address, r.Header().Name, dns.TypeCNAME)
		if err != nil {
			t.Fatal(err)
		}
		for _, rr := range have {
			all = append(all, rr.(*dns.CNAME).Target)
		}
	}
	marks, err := marksAt(t.Context(), b.Address, c.Mark)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, marks...)
}

func TestNamesComeMoveAndGo(t *testing.T) {
	b := binddev.Start(t)
	s := open(t, b)
	first, moved := claim("c1", "t1", "prod", "one.example.org."), claim("c1", "t1", "prod", "two.example.org.")
	heir := claim("c2", "t1", "prod", "three.example.org.")
	stranger := claim("c3", "t2", "prod", "four.example.org.")
	for _, step := range []struct {
		name string
		do   func() error
		want []string
		fail string
	}{
		{"a cluster is named", func() error { return s.Put(t.Context(), first) }, []string{"one.example.org.", "one.example.org.", first.text()}, ""},
		{"again, which changes nothing", func() error { return s.Put(t.Context(), first) }, []string{"one.example.org.", "one.example.org.", first.text()}, ""},
		{"it moves", func() error { return s.Put(t.Context(), moved) }, []string{"two.example.org.", "two.example.org.", first.text()}, ""},
		{"another tenant's is refused", func() error { return s.Put(t.Context(), stranger) }, []string{"two.example.org.", "two.example.org.", first.text()}, "another tenant"},
		{"another cluster's removal removes nothing", func() error { _, err := s.Drop(t.Context(), stranger); return err }, []string{"two.example.org.", "two.example.org.", first.text()}, ""},
		{"a later cluster of the tenant takes over", func() error { return s.Put(t.Context(), heir) }, []string{"three.example.org.", "three.example.org.", heir.text()}, ""},
		{"the earlier one's removal removes nothing", func() error { _, err := s.Drop(t.Context(), first); return err }, []string{"three.example.org.", "three.example.org.", heir.text()}, ""},
		{"it goes", func() error { _, err := s.Drop(t.Context(), heir); return err }, nil, ""},
		{"again, which changes nothing", func() error { _, err := s.Drop(t.Context(), heir); return err }, nil, ""},
		{"now the name is free for another tenant", func() error { return s.Put(t.Context(), stranger) }, []string{"four.example.org.", "four.example.org.", stranger.text()}, ""},
	} {
		err := step.do()
		if step.fail == "" && err != nil || step.fail != "" && (err == nil || !strings.Contains(err.Error(), step.fail)) {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, answers(t, b, first)); diff != "" {
			t.Fatalf("%s: -want +got\n%s", step.name, diff)
		}
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	b := binddev.Start(t)
	wrongKey := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(wrongKey, []byte("d3Jvbmc="), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := "127.0.0.1:1"
	closed := claim("c1", "t1", "prod", "one.example.org.")
	closed.Mark = "_hyperfleet.prod.closed.example.com."
	for i, r := range closed.Records {
		closed.Records[i].Header().Name = strings.Replace(r.Header().Name, "fleet", "closed", 1)
	}
	elsewhere := closed
	elsewhere.Mark = "_hyperfleet.prod.nowhere.example.net."
	people := claim("c1", "t1", "people", "one.example.org.")
	for name, c := range map[string]struct {
		url   string
		claim Claim
		want  string
		code  int
	}{
		"a wrong secret":                 {fmt.Sprintf("rfc2136://%s?key=fleet&secretFile=%s", b.Address, wrongKey), claim("c1", "t1", "prod", "x."), "does not accept the key", exit.Failed},
		"an unknown key":                 {fmt.Sprintf("rfc2136://%s?key=other&secretFile=%s", b.Address, wrongKey), claim("c1", "t1", "prod", "x."), "NOTAUTH", exit.Failed},
		"no key":                         {"rfc2136://" + b.Address, claim("c1", "t1", "prod", "x."), "refused", exit.Failed},
		"a zone that takes no updates":   {b.URL(), closed, "refused", exit.Failed},
		"a zone that is not there":       {b.URL(), elsewhere, "has no zone for", exit.Failed},
		"a server that is not there":     {"rfc2136://" + gone, people, "connection refused", exit.TryAgain},
		"a record of somebody else":      {b.URL(), people, "none of a cluster's", exit.Failed},
		"a server that has another zone": {b.URL() + "&servers=" + gone, people, "connection refused", exit.TryAgain},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(c.url)
			if err != nil {
				t.Fatal(err)
			}
			err = s.Put(t.Context(), c.claim)
			if exit.Code(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("exit code %d: %v", exit.Code(err), err)
			}
			if strings.Contains(fmt.Sprint(err), binddev.Secret) || strings.Contains(fmt.Sprint(err), "d3Jvbmc") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

func TestASilentServerIsNamed(t *testing.T) {
	b := binddev.Start(t)
	other := binddev.Start(t) // has the zone, and is told of nothing
	s, err := Open(b.URL() + "&servers=" + b.Address + "," + other.Address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = s.Put(ctx, claim("c1", "t1", "prod", "one.example.org."))
	if exit.Code(err) != exit.TryAgain || !strings.Contains(err.Error(), other.Address+" does not answer with") {
		t.Errorf("exit code %d: %v", exit.Code(err), err)
	}
}

// TestOneTenantWins has clusters of many tenants claim one name at once.
func TestOneTenantWins(t *testing.T) {
	b := binddev.Start(t)
	for round := range fleettest.Rounds(t) {
		name := fmt.Sprintf("race%d", round)
		var all sync.WaitGroup
		failures := make([]error, 8)
		claims := make([]Claim, len(failures))
		for i := range failures {
			claims[i] = claim(fmt.Sprintf("c%d", i), fmt.Sprintf("t%d", i), name, fmt.Sprintf("target%d.example.org.", i))
			s := open(t, b)
			all.Go(func() { failures[i] = s.Put(t.Context(), claims[i]) })
		}
		all.Wait()
		won := []int{}
		for i, err := range failures {
			if err == nil {
				won = append(won, i)
			} else if !strings.Contains(err.Error(), "another tenant") {
				t.Errorf("%d: %v", i, err)
			}
		}
		if len(won) != 1 {
			t.Fatalf("%v won", won)
		}
		target := fmt.Sprintf("target%d.example.org.", won[0])
		if diff := cmp.Diff([]string{target, target, claims[won[0]].text()}, answers(t, b, claims[0])); diff != "" {
			t.Errorf("%d won; -want +got\n%s", won[0], diff)
		}
	}
}

var errKilled = errors.New("killed")

// cutOff is a writer whose process dies after some of its changes.
type cutOff struct {
	writer
	left *int
}

func (c cutOff) change(do func() error) error {
	if *c.left == 0 {
		return errKilled
	}
	*c.left--
	return do()
}

func (c cutOff) add(ctx context.Context, zone string, r ...dns.RR) error {
	return c.change(func() error { return c.writer.add(ctx, zone, r...) })
}

func (c cutOff) claim(ctx context.Context, zone string, mark dns.RR) error {
	return c.change(func() error { return c.writer.claim(ctx, zone, mark) })
}

func (c cutOff) set(ctx context.Context, zone string, r ...dns.RR) error {
	return c.change(func() error { return c.writer.set(ctx, zone, r...) })
}

func (c cutOff) remove(ctx context.Context, zone string, r ...dns.RR) error {
	return c.change(func() error { return c.writer.remove(ctx, zone, r...) })
}

func TestARunThatWasCutOffIsRepeated(t *testing.T) {
	b := binddev.Start(t)
	random := rand.New(rand.NewPCG(1, 1))
	for round := range fleettest.Rounds(t) {
		c := claim("c", "t", fmt.Sprintf("cut%d", round), "one.example.org.")
		left := random.IntN(3)
		s := open(t, b)
		s.writer = cutOff{s.writer, &left}
		if err := s.Put(t.Context(), c); err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if err := open(t, b).Put(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := answers(t, b, c); !slices.Equal(got, []string{"one.example.org.", "one.example.org.", c.text()}) {
			t.Fatalf("named %v", got)
		}
		left = random.IntN(3)
		s.writer = cutOff{open(t, b).writer, &left}
		if _, err := s.Drop(t.Context(), c); err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if _, err := open(t, b).Drop(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := answers(t, b, c); len(got) > 0 {
			t.Fatalf("%v are left", got)
		}
	}
}

func TestChallengesStandBesideEachOther(t *testing.T) {
	b := binddev.Start(t)
	s := open(t, b)
	const name = "_acme-challenge.api.prod." + binddev.Zone
	for _, text := range []string{"one", "two"} {
		if err := s.Present(t.Context(), name, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Withdraw(t.Context(), name, "one"); err != nil {
		t.Fatal(err)
	}
	have, err := ask(t.Context(), b.Address, name, dns.TypeTXT)
	if err != nil || len(have) != 1 || joined(have[0].(*dns.TXT)) != "two" {
		t.Errorf("%v, %v", have, err)
	}
}

func TestOpenNamesEveryProblem(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("not base64!"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string][]string{
		"":                                         {"want rfc2136, route53"},
		"bind://x":                                 {`"bind": want rfc2136`},
		"rfc2136://a:53?zone=x":                    {`unknown parameter "zone"`},
		"rfc2136://a:53?key=k&algorithm=md5":       {`algorithm "md5"`, "secretFile: missing"},
		"rfc2136://a:53?key=k&secretFile=" + key:   {"not base64"},
		"rfc2136://a:53?secretFile=" + key:         {"want the key's name"},
		"rfc2136://a":                              {`server "a": want host:port`},
		"rfc2136://a:53?servers=b":                 {`server "b": want host:port`},
		"googleclouddns://":                        {"want the project"},
		"cloudflare://?tokenFile=" + key + "/none": {"tokenFile:"},
		"cloudflare://":                            {"tokenFile: missing"},
	} {
		_, err := Open(url)
		for _, want := range want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in %v", url, want, err)
			}
		}
	}
	for _, url := range []string{"route53://?region=us-east-1", "googleclouddns://project"} {
		if _, err := Open(url); err != nil {
			t.Error(err)
		}
	}
}
