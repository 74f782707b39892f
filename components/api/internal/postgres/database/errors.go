package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/sethvargo/go-retry"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// RetryAfter is what a caller is told to wait when the database is away.
const RetryAfter = 2 * time.Second

// Again runs f, and a few times more while the database says that running it
// again may succeed: a deadlock, or a connection that was closed before use.
func Again(ctx context.Context, f func(context.Context) error) error {
	backoff := retry.WithMaxRetries(4, retry.WithJitterPercent(50, retry.NewExponential(5*time.Millisecond)))
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		err := f(ctx)
		if pq.As(err, pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected) != nil {
			return retry.RetryableError(err)
		}
		return err
	})
}

// Outward turns an error into what the caller may show: errors of ours as they
// are, the caller's own end of patience as it is, everything else without the
// database's words. doing says what was tried.
func Outward(ctx context.Context, doing string, err error) error {
	var known *fleet.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case errors.Is(err, pq.ErrSSLNotSupported):
		return fmt.Errorf("%s: %w; turn TLS on there, or on a trusted local network add ?sslmode=disable to database-url", doing, err)
	case unstorable(err):
		return fleet.Errorf(fleet.Invalid, "the database cannot store a value of the request, such as the character U+0000")
	case Away(err):
		seen := &fleet.Error{Code: fleet.Unavailable, Detail: "the database does not answer; try again", RetryAfter: RetryAfter}
		return &unavailable{seen: seen, cause: fmt.Errorf("%s: %w", doing, err)}
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// unavailable is what users see (by errors.As), with the cause for logs.
type unavailable struct {
	seen  *fleet.Error
	cause error
}

func (u *unavailable) Error() string   { return u.cause.Error() }
func (u *unavailable) Unwrap() []error { return []error{u.seen, u.cause} }

// unstorable says whether PostgreSQL refused a value that JSON allows.
func unstorable(err error) bool {
	return pq.As(err, pqerror.UntranslatableCharacter, pqerror.CharacterNotInRepertoire,
		pqerror.InvalidTextRepresentation, pqerror.NumericValueOutOfRange, pqerror.DatetimeFieldOverflow) != nil
}

// Away says whether err is about reaching the database rather than about what
// it was asked.
func Away(err error) bool {
	if e := pq.As(err); e != nil {
		switch e.Code.Class() {
		case pqerror.ClassConnectionException, pqerror.ClassInsufficientResources, pqerror.ClassOperatorIntervention,
			pqerror.ClassTransactionRollback, pqerror.ClassInvalidAuthorizationSpecification, pqerror.ClassSystemError:
			return true
		}
		switch e.Code {
		case pqerror.LockNotAvailable, pqerror.IdleInTransactionSessionTimeout,
			// A standby, until a fail-over has reached this process: to a statement
			// that writes, and to the beginning of a transaction that may.
			pqerror.ReadOnlySQLTransaction, pqerror.FeatureNotSupported:
			return true
		}
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, sql.ErrTxDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// demoted says whether the server that a connection leads to no longer takes writes.
func demoted(err error) bool {
	return pq.As(err, pqerror.ReadOnlySQLTransaction, pqerror.FeatureNotSupported) != nil
}

// NotFound says that there is no such resource, or that it is another tenant's.
func NotFound(t fleet.TypeInfo, id string) error {
	return fleet.Errorf(fleet.NotFound, "there is no %s %q", t.Kind, id)
}

// Invalid blames one field of a request.
func Invalid(pointer, format string, args ...any) error {
	return &fleet.Error{
		Code: fleet.Invalid, Detail: "the request breaks a rule",
		Problems: []fleet.Problem{{Pointer: pointer, Message: fmt.Sprintf(format, args...)}},
	}
}
