module github.com/hyperfleet/hyperfleet

go 1.26.0
