package rest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hyperfleet/hyperfleet/components/api/internal/auth"
)

func TestARouteWithoutARuleDoesNotStart(t *testing.T) {
	if err := ruled((&server{}).routes()); err != nil {
		t.Errorf("the API's own routes: %v", err)
	}
	err := ruled([]route{
		{"/open", map[string]operation{http.MethodGet: {may: auth.Public}}},
		{"/forgotten", map[string]operation{http.MethodGet: {may: auth.Viewer}, http.MethodPost: {}}},
		{"/nobody", map[string]operation{http.MethodPut: {may: auth.Fleet}}},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for want, there := range map[string]bool{"POST /forgotten": true, "PUT /nobody": true, "GET /forgotten": false, "/open": false} {
		if strings.Contains(err.Error(), want) != there {
			t.Errorf("%s named: %t, want %t\n%v", want, !there, there, err)
		}
	}
}
