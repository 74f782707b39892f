package selector

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/lib/pq"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/pgdev"
)

func TestMain(m *testing.M) { pgdev.Main(m) }

// Keys and values are few, so that random selectors often meet random labels;
// the values are the edges of numbers as strconv.ParseInt reads them.
var (
	keys   = []string{"region", "env", "n", "a.b/c-d_e", "X"}
	values = []string{
		"", "us-east", "eu-west", "US-EAST", "0", "1", "-1", "007", "10", "9", "1_0", "1e3", "0x10", "1.0", "a.b", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "-9223372036854775809", "00000000000000000000000000000000000000000000000000000000000042", "99999999999999999999999999999999999999",
	}
	// A label cannot have these, but the column could: the SQL agrees on them too.
	wild = []string{"+5", "+", "-", " 5", "5\n", "٣", `"`, `\`, "'", "$1", "{}", "null", "%s"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func randomLabels(r *rand.Rand) labels.Set {
	set := labels.Set{}
	for range r.IntN(4) {
		set[pick(r, keys)] = pick(r, values)
		if r.IntN(8) == 0 {
			set[pick(r, keys)] = pick(r, wild)
		}
	}
	return set
}

func randomSelector(t *testing.T, r *rand.Rand) labels.Selector {
	switch r.IntN(60) {
	case 0:
		return labels.Nothing()
	case 1:
		return labels.Everything()
	case 2:
		return nil
	}
	sel := labels.NewSelector()
	for range 1 + r.IntN(3) {
		sel = sel.Add(randomTerm(t, r))
	}
	return sel
}

func randomTerm(t *testing.T, r *rand.Rand) labels.Requirement {
	operators := []selection.Operator{
		selection.In, selection.NotIn, selection.Equals, selection.DoubleEquals, selection.NotEquals,
		selection.Exists, selection.DoesNotExist, selection.GreaterThan, selection.LessThan,
	}
	for {
		operator := pick(r, operators)
		var args []string
		switch operator {
		case selection.Exists, selection.DoesNotExist:
		case selection.In, selection.NotIn:
			for range 1 + r.IntN(3) {
				args = append(args, pick(r, values))
			}
		default:
			args = []string{pick(r, values)}
		}
		term, err := labels.NewRequirement(pick(r, keys), operator, args)
		if err == nil { // some values are no numbers, which Gt and Lt refuse
			return *term
		}
	}
}

func matches(sel labels.Selector, set labels.Set) bool { return sel == nil || sel.Matches(set) }

// TestSQLAgreesWithKubernetes asks PostgreSQL and the original about every pair
// of 250 selectors and 400 sets of labels.
func TestSQLAgreesWithKubernetes(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("postgres", pgdev.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	sets := make([]labels.Set, 400)
	documents := make(pq.StringArray, len(sets))
	for i := range sets {
		sets[i] = randomLabels(r)
		b, err := json.Marshal(sets[i])
		if err != nil {
			t.Fatal(err)
		}
		documents[i] = string(b)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE things AS SELECT n - 1 AS n, labels FROM unnest($1::text[]::jsonb[]) WITH ORDINALITY AS u (labels, n)`, documents); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE INDEX ON things USING gin (labels jsonb_path_ops)`); err != nil {
		t.Fatal(err)
	}
	pairs, hits := 0, 0
	for range 250 {
		sel := randomSelector(t, r)
		found := ask(t, db, sel)
		for i, set := range sets {
			pairs++
			if matches(sel, set) {
				hits++
			}
			if matches(sel, set) != found[i] {
				t.Errorf("seed %d: selector %v, labels %q: PostgreSQL says %v", seed, sel, set, found[i])
			}
		}
	}
	if pairs < 100_000 || hits < pairs/20 || hits > pairs*19/20 {
		t.Errorf("%d pairs of which %d match prove little", pairs, hits)
	}
}

func ask(t *testing.T, db *sql.DB, sel labels.Selector) map[int]bool {
	t.Helper()
	text, args := SQL(sel, "labels", 1)
	rows, err := db.QueryContext(t.Context(), "SELECT n FROM things WHERE "+text, args...)
	if err != nil {
		t.Fatalf("%v: %s: %v", sel, text, err)
	}
	defer rows.Close()
	found := map[int]bool{}
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		found[n] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSplitKeepsTheMeaning: the demand on the shard key and the rest together
// say what the selector says, the column being "" where the label is not there.
func TestSplitKeepsTheMeaning(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	answered := 0
	for range 20_000 {
		sel, set := randomSelector(t, r), randomLabels(r)
		shards, rest := Split(sel, "region")
		if got, want := shards.Match(set["region"]) && rest.Matches(set), matches(sel, set); got != want {
			t.Fatalf("seed %d: selector %v, labels %q: %+v and %v give %v, want %v", seed, sel, set, shards, rest, got, want)
		}
		if rest.Empty() && shards.Only {
			answered++
		}
	}
	if answered == 0 {
		t.Error("the shard key alone never answered a selector")
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, selector string
		want           Shards
		rest           string
	}{
		{"an exact value needs nothing else", "region=us-east", Shards{Only: true, In: []string{"us-east"}}, ""},
		{"values of a set are sorted", "region in (b,a)", Shards{Only: true, In: []string{"a", "b"}}, ""},
		{"several terms are one demand", "region in (a,b),region!=a", Shards{Only: true, In: []string{"b"}}, ""},
		{"other terms are the rest", "region=a,env=prod", Shards{Only: true, In: []string{"a"}}, "env=prod"},
		{"excluded values need nothing else", "region notin (b,a)", Shards{Not: []string{"a", "b"}}, ""},
		{"an empty value is asked again", "region=", Shards{Only: true, In: []string{""}}, "region="},
		{"no value is asked again", "!region", Shards{Only: true, In: []string{""}}, "!region"},
		{"contradiction leaves nothing", "region=a,region=b", Shards{Only: true, In: []string{}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sel, err := Parse(test.selector)
			if err != nil {
				t.Fatal(err)
			}
			got, rest := Split(sel, "region")
			if diff := cmp.Diff(test.want, got); diff != "" || rest.String() != test.rest {
				t.Errorf("rest %q, shards (-want +got):\n%s", rest, diff)
			}
		})
	}
}

var constants = regexp.MustCompile(`^(?:labels|true|false|NOT|AND|ANY|CASE|WHEN|THEN|BETWEEN|ELSE|END|jsonb\[\]|jsonb|text|numeric|@>|->>|\?|[<>~]|::|\$\d+|[() -]|'\^\[\+-\]\?\[0-9\]\+\$'|\d+)*$`)

// TestSQLTextNeverHoldsUserBytes: selectors of one shape have one text, made of
// words that stand in this test.
func TestSQLTextNeverHoldsUserBytes(t *testing.T) {
	t.Parallel()
	shapes := map[string]string{
		"a=b": "hyperfleet.redhat.com/x=DROP", "a in (b,c)": "zzz in (x,y,z,true)", "a notin (b)": "k notin (1,2)",
		"a!=b": "k!=v", "a": "select", "!a": "!from", "a>1": "k>42", "a<1": "k<3",
	}
	for one, other := range shapes {
		first, _ := SQL(mustParse(t, one), "labels", 1)
		second, _ := SQL(mustParse(t, other), "labels", 1)
		if first != second {
			t.Errorf("%q gives %s, but %q gives %s", one, first, other, second)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		if text, _ := SQL(randomSelector(t, r), "labels", 1); !constants.MatchString(text) {
			t.Fatalf("the text holds a word that is none of ours: %s", text)
		}
	}
}

func mustParse(t testing.TB, s string) labels.Selector {
	t.Helper()
	sel, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

func TestBothGrammarsMeanTheSame(t *testing.T) {
	t.Parallel()
	pairs, err := ParsePairs("region:us-east, env:prod,a/b:,x:y")
	if err != nil {
		t.Fatal(err)
	}
	if want := mustParse(t, "region=us-east,env=prod,a/b=,x=y"); pairs.String() != want.String() {
		t.Errorf("pairs are %q, want %q", pairs, want)
	}
	for _, nothing := range []string{"", " "} {
		if sel, err := ParsePairs(nothing); err != nil || !sel.Empty() {
			t.Errorf("%q: %v, %v", nothing, sel, err)
		}
	}
}

func TestBadSelectorsNameEveryProblem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		err   func() error
		names []string
	}{
		{"an open set", func() error { _, err := Parse("a in (b"); return err }, []string{"labelSelector"}},
		{"a bad key", func() error { _, err := Parse("a b=c"); return err }, []string{"labelSelector"}},
		{"a comparison with no number", func() error { _, err := Parse("a>b"); return err }, []string{"integer"}},
		{"too many terms", func() error { _, err := Parse(strings.Repeat("a,", 300) + "a"); return err }, []string{"at most 256"}},
		{"too many pairs", func() error { _, err := ParsePairs(strings.Repeat("a:b,", 300) + "a:b"); return err }, []string{"at most 256"}},
		{"pairs of which three are bad", func() error { _, err := ParsePairs("ok:yes,none,/x:y,k:-"); return err }, []string{`"none"`, `"/x:y"`, `"k:-"`}},
		{"an empty pair", func() error { _, err := ParsePairs("a:b,"); return err }, []string{`""`}},
		{"bytes that are no text", func() error { _, err := Parse("a=\xff"); return err }, []string{"labelSelector"}},
		{"a NUL", func() error { _, err := Parse("a=b\x00,c=d"); return err }, []string{"labelSelector"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.err()
			if fleet.ErrorCode(err) != fleet.BadRequest {
				t.Fatalf("error %v", err)
			}
			for _, want := range test.names {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not name %s", err, want)
				}
			}
		})
	}
}

// FuzzSelector: whatever parses gives SQL of our own words, with one argument
// for each placeholder, and splits without losing its meaning.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{"a=b", "a in (b,c),!d", "a>1,b<2", "region notin (x)", "", "a!=", "x,!x", "'--"} {
		f.Add(s, "region", "us-east")
	}
	f.Fuzz(func(t *testing.T, s, key, value string) {
		for _, parse := range []func(string) (labels.Selector, error){Parse, ParsePairs} {
			sel, err := parse(s)
			if err != nil {
				if fleet.ErrorCode(err) != fleet.BadRequest {
					t.Fatalf("error %v", err)
				}
				continue
			}
			text, args := SQL(sel, "labels", 1)
			if !constants.MatchString(text) {
				t.Fatalf("%q gives %s", s, text)
			}
			if !strings.Contains(text+" ", fmt.Sprintf("$%d:", len(args))) && len(args) > 0 || strings.Contains(text, fmt.Sprintf("$%d:", len(args)+1)) {
				t.Fatalf("%d arguments for %s", len(args), text)
			}
			set := labels.Set{key: value}
			shards, rest := Split(sel, key)
			if got := shards.Match(value) && rest.Matches(set); got != sel.Matches(set) {
				t.Fatalf("selector %q, labels %q: split says %v", sel, set, got)
			}
			if !slices.IsSorted(shards.In) || !slices.IsSorted(shards.Not) {
				t.Fatalf("unsorted %+v", shards)
			}
		}
	})
}
