module github.com/hyperfleet/hyperfleet/components/api

go 1.26.0

require (
	github.com/hyperfleet/hyperfleet/libs/fleet v0.0.0
	github.com/hyperfleet/hyperfleet/libs/service v0.0.0
	github.com/hyperfleet/hyperfleet/libs/pgdev v0.0.0
)

replace (
	github.com/hyperfleet/hyperfleet/libs/fleet => ../../libs/fleet
	github.com/hyperfleet/hyperfleet/libs/service => ../../libs/service
	github.com/hyperfleet/hyperfleet/libs/pgdev => ../../libs/pgdev
)
