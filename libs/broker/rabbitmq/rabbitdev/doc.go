// Package rabbitdev is a private RabbitMQ for tests: a node of its own
// beside whatever runs on the machine, with its own ports, directory, cookie and
// port mapper, that can be stopped, killed, started again and put under alarm.
//
// It needs the server's programs on the machine and works as any user, root
// included. It leaves nothing behind, not even if the test's process is killed.
package rabbitdev
