module github.com/hyperfleet/hyperfleet/libs/pgdev

go 1.26.0

require (
	github.com/hyperfleet/hyperfleet/libs/fleet v0.0.0
	github.com/lib/pq v1.12.3
	go.uber.org/goleak v1.3.0
)

replace github.com/hyperfleet/hyperfleet/libs/fleet => ../fleet
