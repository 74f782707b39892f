// Package precondition judges whether an adapter may start on a resource: its
// dependencies are Complete for the current generation, and its CEL
// expressions are true.
//
// Expressions are compiled and type-checked once; [Compile] names everything
// that is wrong with them. [Chain.Judge] is a pure function of the resource and
// the time, bounded in cost: an expression that cannot be evaluated (a missing
// field, too much work) is not met, and the verdict says why.
package precondition
