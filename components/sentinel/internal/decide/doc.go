// Package decide judges, for one due resource at a time, whether its event is
// to be published now, and how an event budget is shared.
//
// It is pure: everything that a judgement depends on is in its Input, the time
// too. What is due at all the API decides, on the database's clock; this room
// only keeps this process from publishing again what it has published already,
// and from trying for ever what fails.
package decide
