// Package chaos breaks what stands round a gate while calls go through it, and
// draws a balance: what was sent was answered, or refused with a reason, or was
// under way on a connection that the fault itself has cut. Nothing is answered
// twice or to somebody else, and when the fault is over the gate is as it was.
//
// Nothing that is asserted is a matter of time: a slow machine makes fewer
// calls, and the balance still has to come out.
//
// The package knows the gate by its binary. Its own clients and servers are
// this test's binary, run again, so that they can be killed one by one; what
// they have sent and got is counted in memory that outlives them. The faults
// of the network are toxiproxy's.
//
// A fault goes on until there are signs of it: calls that were refused, a call
// that took as long as its way, a clock that is another.
//
// The wall clock is one for the whole machine. What jumps is the clock that is
// built into a gate of its own (testdata/clock.go).
package chaos
