package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// credentialsError is why no client could be made. Its text may name a file,
// but never quotes one, as the client library's would.
type credentialsError struct{ err error }

func (e credentialsError) Error() string {
	var path *fs.PathError
	if errors.As(e.err, &path) {
		return path.Error()
	}
	return "there are no credentials, or none that can be read"
}

func (e credentialsError) Unwrap() error { return e.err }

// missingError names what does not exist, and the commands that create it.
type missingError struct{ text string }

func (e missingError) Error() string { return e.text }

// unverifiedError says that it cannot be known whether events reach anybody.
type unverifiedError struct {
	topic string
	err   error
}

func (e unverifiedError) Error() string {
	return fmt.Sprintf("it cannot be verified that topic %s has subscriptions, and what is published to none is lost; "+
		"grant this process's identity roles/pubsub.viewer on the topic: %v", short(e.topic), e.err)
}

func (e unverifiedError) Unwrap() error { return e.err }

// transient says whether the same call may succeed later: because the broker
// comes back, or because somebody mends the credentials, a permission or what is
// missing.
func transient(err error) bool {
	if errors.As(err, new(credentialsError)) || errors.As(err, new(missingError)) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch status.Code(err) {
	case codes.PermissionDenied, codes.NotFound, codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Aborted, codes.ResourceExhausted, codes.Unauthenticated,
		codes.Canceled: // the client was dropped, or the server goes away
		return true
	}
	return false
}

// stale says whether an error may come from credentials that were replaced
// since the client read them.
func stale(err error) bool { return status.Code(err) == codes.Unauthenticated }

// explain says in words for an operator what is wrong and what to do.
func explain(err error) error {
	if err == nil || errors.As(err, new(missingError)) || errors.As(err, new(unverifiedError)) {
		return err
	}
	if errors.As(err, new(credentialsError)) {
		return fmt.Errorf("%w; check the file that GOOGLE_APPLICATION_CREDENTIALS names, or the workload identity of the service account", err)
	}
	switch status.Code(err) {
	case codes.Unavailable:
		return fmt.Errorf("Pub/Sub cannot be reached: %w", err)
	case codes.DeadlineExceeded:
		return fmt.Errorf("Pub/Sub does not answer: %w", err)
	case codes.Unauthenticated:
		return fmt.Errorf("Pub/Sub does not accept the credentials; check the workload identity or GOOGLE_APPLICATION_CREDENTIALS: %w", err)
	case codes.PermissionDenied:
		return fmt.Errorf("this process's identity lacks a permission, or the project does not exist; grant roles/pubsub.publisher and "+
			"roles/pubsub.viewer on topics, and roles/pubsub.subscriber and roles/pubsub.viewer on subscriptions: %w", err)
	case codes.NotFound:
		return fmt.Errorf("what is needed does not exist: %w", err)
	}
	return err
}
