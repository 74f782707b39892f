module github.com/hyperfleet/hyperfleet/libs/fleet

go 1.26.0
