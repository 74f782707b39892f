package validation

import (
	"net/netip"
	"regexp"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// environment is what expressions may use: the resource, CEL's own functions,
// its optional syntax, its libraries for lists, strings and networks, and
//
//	cidrsOverlap(string, string) -> bool   whether two networks share an address; false unless both are networks
//	sum(list) -> int                       the sum of a list of whole numbers
//	version(string) -> list(int)           major, minor and patch; empty unless it is such a version
//	networks(string, int) -> int           networks of the prefix length in a network; 0 if there are none, at most 2^31
//
// installed is the version that the cluster runs, "" before it runs one. In a
// policy of each item of a list, item is the item and index its place. Policies
// of node pools see the cluster too: cluster.spec, cluster.labels and
// cluster.name.
func environment(t fleet.ResourceType, each bool) []cel.EnvOption {
	options := []cel.EnvOption{
		cel.Variable("spec", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("labels", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("name", cel.StringType),
		cel.Variable("installed", cel.StringType),
		cel.OptionalTypes(),
		ext.Bindings(), ext.Lists(), ext.Strings(), ext.Network(),
		cel.Function("cidrsOverlap", cel.Overload("cidrs_overlap_string_string",
			[]*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(cidrsOverlap))),
		cel.Function("sum", cel.Overload("sum_list",
			[]*cel.Type{cel.ListType(cel.DynType)}, cel.IntType, cel.UnaryBinding(sum))),
		cel.Function("version", cel.Overload("version_string",
			[]*cel.Type{cel.StringType}, cel.ListType(cel.IntType), cel.UnaryBinding(version))),
		cel.Function("networks", cel.Overload("networks_string_int",
			[]*cel.Type{cel.StringType, cel.IntType}, cel.IntType, cel.BinaryBinding(networks))),
	}
	if each {
		options = append(options, cel.Variable("item", cel.DynType), cel.Variable("index", cel.IntType))
	}
	if t == fleet.NodePools {
		options = append(options, cel.Variable("cluster", cel.MapType(cel.StringType, cel.DynType)))
	}
	return options
}

// reserved are the names of variables that no list may have.
func reserved() []string {
	return []string{"spec", "labels", "name", "installed", "item", "index", "cluster"}
}

// variables are the lists and maps of a bundle as expressions see them.
func (p *Policies) variables() []cel.EnvOption {
	var options []cel.EnvOption
	for name, value := range p.lists {
		t := cel.ListType(cel.StringType)
		if _, ok := value.(map[string][]string); ok {
			t = cel.MapType(cel.StringType, t)
		}
		options = append(options, cel.Variable(name, t))
	}
	return options
}

func cidrsOverlap(a, b ref.Val) ref.Val {
	x, errX := netip.ParsePrefix(string(a.(types.String)))
	y, errY := netip.ParsePrefix(string(b.(types.String)))
	return types.Bool(errX == nil && errY == nil && x.Overlaps(y))
}

func sum(list ref.Val) ref.Val {
	var total ref.Val = types.Int(0)
	for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		n, ok := it.Next().(types.Int)
		if !ok {
			return types.NewErr("sum of something that is not a whole number")
		}
		total = total.(types.Int).Add(n)
		if types.IsError(total) {
			return total
		}
	}
	return total
}

var versionForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})[.](0|[1-9][0-9]{0,5})[.](0|[1-9][0-9]{0,5})$`)

func version(v ref.Val) ref.Val {
	parts := []int64{}
	if m := versionForm.FindStringSubmatch(string(v.(types.String))); m != nil {
		for _, part := range m[1:] {
			n, _ := strconv.ParseInt(part, 10, 64) // digits, and few
			parts = append(parts, n)
		}
	}
	return types.DefaultTypeAdapter.NativeToValue(parts)
}

// maxNetworks bounds what networks counts: nobody has more nodes.
const maxNetworks = 1 << 31

func networks(network, prefix ref.Val) ref.Val {
	p, err := netip.ParsePrefix(string(network.(types.String)))
	bits := int(prefix.(types.Int)) - p.Bits()
	switch {
	case err != nil || bits < 0 || int(prefix.(types.Int)) > p.Addr().BitLen():
		return types.Int(0)
	case bits > 31:
		return types.Int(maxNetworks)
	}
	return types.Int(1 << bits)
}
