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
// What is not here is a jump of the wall clock: there is one for the whole
// machine. Time-outs, leases and lifetimes do not go by it; that a parked call
// does not either is tested where its state is sealed (proxy/bridge/modern,
// TestClockIsSet).
package chaos
