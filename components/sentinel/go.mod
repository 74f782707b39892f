module github.com/hyperfleet/hyperfleet/components/sentinel

go 1.26.0

require (
	github.com/hyperfleet/hyperfleet/libs/fleet v0.0.0
	github.com/hyperfleet/hyperfleet/libs/apis v0.0.0
	github.com/hyperfleet/hyperfleet/libs/broker v0.0.0
	github.com/hyperfleet/hyperfleet/libs/service v0.0.0
)

replace (
	github.com/hyperfleet/hyperfleet/libs/fleet => ../../libs/fleet
	github.com/hyperfleet/hyperfleet/libs/apis => ../../libs/apis
	github.com/hyperfleet/hyperfleet/libs/broker => ../../libs/broker
	github.com/hyperfleet/hyperfleet/libs/service => ../../libs/service
)
