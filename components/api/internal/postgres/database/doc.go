// Package database is how statements reach PostgreSQL: bounded pools that follow
// their database through a fail-over and prepare what they run, transactions
// over the tables of one resource type, ids and moments, and what is told of an
// error.
//
// It promises: who waits too long for a connection is told to try again; a
// transaction runs again where the database asks for that; and an error that a
// user may see holds no SQL and no URL. What is stored is the other rooms' business.
package database
