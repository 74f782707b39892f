module github.com/hyperfleet/hyperfleet/libs/service

go 1.26.0
