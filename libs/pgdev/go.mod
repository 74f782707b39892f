module github.com/hyperfleet/hyperfleet/libs/pgdev

go 1.26.0
