package fleet

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// dueLists are lists as the API may answer them; the plain ones have the form
// that ReadJSON reads.
func dueLists() (plain, other []DueList) {
	at := At(time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC))
	item := DueItem{ID: "0190b6a0-1234-7000-8000-0000000000aa", Generation: 7, Phase: Ready, LastTransitionTime: at, Reason: BackoffExpired, Token: "AZC2oBI0cACA-_AAAAAAqgAAAAAAAAABAA"}
	list := func(change func(*DueList)) DueList {
		l := DueList{Kind: "DueList", Items: []DueItem{item, item}, Continue: "eyJx", AsOf: at}
		l.Items[1].Phase, l.Items[1].Reason = Failed, Deletion
		change(&l)
		return l
	}
	plain = []DueList{
		list(func(*DueList) {}),
		list(func(l *DueList) { l.Continue = "" }),
		list(func(l *DueList) { l.Items = []DueItem{} }),
		list(func(l *DueList) { l.Items, l.Continue = l.Items[:1], "" }),
		list(func(l *DueList) { l.Items[0].Generation = 999_999_999_999_999_999 }),
	}
	other = []DueList{
		list(func(l *DueList) { l.Items[0].LastTransitionTime = Time{} }),
		list(func(l *DueList) { l.Items[0].Generation = 0 }),
		list(func(l *DueList) { l.Items[0].Generation = -1 }),
		list(func(l *DueList) { l.Items[1].Generation = 9_000_000_000_000_000_000 }),
		list(func(l *DueList) { l.Items[1].Phase = "a \"new\"\nphase" }),
		list(func(l *DueList) { l.Items[1].Reason = "größer" }),
		list(func(l *DueList) { l.Items[0].Token = "\x00\xff\\" }),
	}
	return plain, other
}

func TestADueListIsWrittenAsItMarshals(t *testing.T) {
	plain, other := dueLists()
	for _, l := range append(plain, other...) {
		want, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.AppendJSON([]byte("before")); string(got) != "before"+string(want) {
			t.Errorf("wrote\n%s, want\n%s", got, want)
		}
	}
}

func TestADueListIsReadWithoutReflectionWhereNothingNeedsAnEscape(t *testing.T) {
	plain, other := dueLists()
	for _, l := range plain {
		var got DueList
		if text := l.AppendJSON(nil); !got.ReadJSON(text) || !got.ReadJSON(append(text, '\n')) {
			t.Errorf("not read: %s", text)
		} else if !reflect.DeepEqual(got, l) {
			t.Errorf("read %+v, want %+v", got, l)
		}
	}
	for _, l := range other {
		var got DueList
		if text := l.AppendJSON(nil); got.ReadJSON(text) || got.Kind != "" {
			t.Errorf("read %s as %+v", text, got)
		}
	}
}

// FuzzDueList: whatever ReadJSON reads, encoding/json reads as the same.
func FuzzDueList(f *testing.F) {
	plain, other := dueLists()
	for _, l := range append(plain, other...) {
		text := l.AppendJSON(nil)
		f.Add(text)
		f.Add(text[:len(text)-1])
		f.Add(append(text, text...))
		f.Add(bytes.ReplaceAll(text, []byte(`"generation":`), []byte(`"generation":0`)))
		f.Add(bytes.ReplaceAll(text, []byte(`,`), []byte(` ,`)))
		f.Add(bytes.ReplaceAll(text, []byte(`},{`), []byte(`}{`)))
		f.Add(bytes.ReplaceAll(text, []byte(`2026-01-02T`), []byte(`2026-01-32T`)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var quick, want DueList
		if !quick.ReadJSON(text) {
			return
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("read %q, in which encoding/json finds: %v", text, err)
		}
		if !reflect.DeepEqual(quick, want) {
			t.Fatalf("read %q as %+v, want %+v", text, quick, want)
		}
	})
}

func BenchmarkDueList(b *testing.B) {
	plain, _ := dueLists()
	l := plain[0]
	for len(l.Items) < 1000 {
		l.Items = append(l.Items, l.Items[0])
	}
	text := l.AppendJSON(nil)
	for name, do := range map[string]func(){
		"AppendJSON": func() { text = l.AppendJSON(text[:0]) },
		"ReadJSON":   func() { l.ReadJSON(text) },
		"Unmarshal":  func() { _ = json.Unmarshal(text, &l) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}
