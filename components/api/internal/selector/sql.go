package selector

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lib/pq"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// SQL returns a condition over the jsonb column (the caller's constant) that
// holds exactly where sel matches, and the arguments of its placeholders, of
// which the first is $<first>. The column holds an object of strings, never
// NULL. The text depends on the operators alone, not on keys or values; nil
// and the empty selector give "true".
func SQL(sel labels.Selector, column string, first int) (string, []any) {
	if sel == nil {
		return "true", nil
	}
	terms, selectable := sel.Requirements()
	if !selectable {
		return "false", nil
	}
	conditions := []string{}
	var args []any
	for _, term := range terms {
		text, more := condition(term, column, first+len(args))
		conditions, args = append(conditions, text), append(args, more...)
	}
	if len(conditions) == 0 {
		return "true", nil
	}
	return strings.Join(conditions, " AND "), args
}

// condition is SQL for one requirement. Only @> and @> ANY can use a GIN index
// of class jsonb_path_ops; ? and ->> are for rows found otherwise.
func condition(term labels.Requirement, column string, n int) (string, []any) {
	switch values := term.ValuesUnsorted(); term.Operator() {
	case selection.Equals, selection.DoubleEquals:
		return fmt.Sprintf("%s @> $%d::jsonb", column, n), []any{object(term.Key(), values[0])}
	case selection.In:
		return fmt.Sprintf("%s @> ANY($%d::jsonb[])", column, n), []any{objects(term.Key(), values)}
	case selection.NotEquals, selection.NotIn:
		return fmt.Sprintf("NOT %s @> ANY($%d::jsonb[])", column, n), []any{objects(term.Key(), values)}
	case selection.Exists:
		return fmt.Sprintf("%s ? $%d::text", column, n), []any{term.Key()}
	case selection.DoesNotExist:
		return fmt.Sprintf("NOT %s ? $%d::text", column, n), []any{term.Key()}
	case selection.GreaterThan:
		return compared(column, ">", n), []any{term.Key(), values[0]}
	case selection.LessThan:
		return compared(column, "<", n), []any{term.Key(), values[0]}
	default:
		return "false", nil
	}
}

// compared is SQL for a comparison of whole numbers as strconv.ParseInt reads
// them: a value that is none, or is outside 64 bits, matches nothing. CASE is
// the only construct that PostgreSQL never evaluates out of order.
func compared(column, operator string, n int) string {
	return fmt.Sprintf("CASE WHEN %[1]s->>$%[2]d::text ~ '^[+-]?[0-9]+$' THEN"+
		" (%[1]s->>$%[2]d::text)::numeric BETWEEN -9223372036854775808 AND 9223372036854775807"+
		" AND (%[1]s->>$%[2]d::text)::numeric %[3]s $%[4]d::text::numeric ELSE false END",
		column, n, operator, n+1)
}

func objects(key string, values []string) any {
	list := make(pq.StringArray, len(values))
	for i, v := range values {
		list[i] = object(key, v)
	}
	return list
}

// object is {"key":"value"}.
func object(key, value string) string {
	b, err := json.Marshal(map[string]string{key: value})
	if err != nil {
		panic(err) //nolint:forbidigo // two strings always marshal
	}
	return string(b)
}
