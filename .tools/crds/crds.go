// Package crds pins the CustomResourceDefinitions of others that the charts use:
// `make bin/crds` puts them where tests find them.
package crds

import (
	_ "github.com/kedacore/keda/v2/apis/keda/v1alpha1"                             // config/crd/bases
	_ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1" // they are generated from these types
)
