package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Item is a resource on its way out. What is stored as JSON was not read for
// it, nor is it written anew; in a list it is good until the next one.
type Item struct {
	fleet.Resource
	Labels json.RawMessage
	Status json.RawMessage
}

// AppendJSON appends what the resource marshals to, in another order. It is
// written out because reflection costs a page more than the database does.
func (i Item) AppendJSON(to []byte) ([]byte, error) {
	var err error
	text := func(name, value string) {
		if err == nil {
			to, err = jsontext.AppendQuote(append(to, name...), value)
		}
	}
	text(`{"id":`, i.ID)
	text(`,"kind":`, i.Kind)
	text(`,"href":`, i.Href)
	text(`,"tenant":`, i.Tenant)
	text(`,"name":`, i.Name)
	if i.Owner != nil {
		text(`,"owner":{"id":`, i.Owner.ID)
		text(`,"kind":`, i.Owner.Kind)
		text(`,"href":`, i.Owner.Href)
		to = append(to, '}')
	}
	if err != nil {
		return to, fmt.Errorf("write %s: %w", i.Kind, err)
	}
	to = strconv.AppendBool(append(to, `,"paused":`...), i.Paused)
	to = strconv.AppendBool(append(to, `,"deletion_protection":`...), i.Protected)
	to = strconv.AppendInt(append(to, `,"generation":`...), i.Generation, 10)
	to = append(append(append(to, `,"resource_version":"`...), i.ResourceVersion...), '"')
	to = i.CreatedAt.AppendJSON(append(to, `,"created_at":`...))
	to = i.UpdatedAt.AppendJSON(append(to, `,"updated_at":`...))
	if i.DeletionAt != nil {
		to = i.DeletionAt.AppendJSON(append(to, `,"deletion_requested_at":`...))
	}
	to = append(to, `,"deleted_at":`...)
	if i.DeletedAt != nil {
		to = i.DeletedAt.AppendJSON(to)
	} else {
		to = append(to, "null"...)
	}
	to = append(append(to, `,"labels":`...), i.Labels...)
	to = append(append(to, `,"spec":`...), i.Spec...)
	return append(append(append(to, `,"status":`...), i.Status...), '}'), nil
}

// Item is resource without reading what is passed on as it is.
func (r Row) Item(t fleet.TypeInfo) Item {
	return Item{Resource: r.head(t), Labels: r.Labels, Status: r.Status}
}

// whole is item with the reports in full, where any were made.
func (r Row) whole(t fleet.TypeInfo) (Item, error) {
	i := r.Item(t)
	if r.Full == nil {
		return i, nil
	}
	var s fleet.Status
	if err := json.Unmarshal(r.Status, &s); err != nil {
		return i, fmt.Errorf("read the status of %s: %w", r.ID, err)
	}
	if err := r.fill(&s); err != nil {
		return i, err
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // nobody reads this as HTML
	err := enc.Encode(s)
	i.Status = bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	return i, err
}
