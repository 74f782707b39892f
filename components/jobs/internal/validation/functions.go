package validation

import (
	"net/netip"

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
//
// Policies of node pools see the cluster too: cluster.spec, cluster.labels and
// cluster.name.
func environment(t fleet.ResourceType) []cel.EnvOption {
	options := []cel.EnvOption{
		cel.Variable("spec", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("labels", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("name", cel.StringType),
		cel.OptionalTypes(),
		ext.Bindings(), ext.Lists(), ext.Strings(), ext.Network(),
		cel.Function("cidrsOverlap", cel.Overload("cidrs_overlap_string_string",
			[]*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(cidrsOverlap))),
		cel.Function("sum", cel.Overload("sum_list",
			[]*cel.Type{cel.ListType(cel.DynType)}, cel.IntType, cel.UnaryBinding(sum))),
	}
	if t == fleet.NodePools {
		options = append(options, cel.Variable("cluster", cel.MapType(cel.StringType, cel.DynType)))
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
