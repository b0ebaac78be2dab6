package main

import "testing"

func TestTidier(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		looks [][2]uint64 // bytes allocated so far, and in the heap
		due   []bool
	}{
		{"after a start", [][2]uint64{{3 * mib, 3 * mib}, {3 * mib, 3 * mib}, {3 * mib, mib}, {3 * mib, mib}}, []bool{false, true, false, false}},
		{"nothing to speak of", [][2]uint64{{mib / 2, mib / 2}, {mib / 2, mib / 2}}, []bool{false, false}},
		{"at work", [][2]uint64{{100 * mib, 50 * mib}, {200 * mib, 50 * mib}, {300 * mib, 60 * mib}}, []bool{false, false, false}},
		{"a crowd that has come", [][2]uint64{{100 * mib, 50 * mib}, {400 * mib, 80 * mib}, {401 * mib, 81 * mib}}, []bool{false, false, true}},
		{"a crowd that is alive", [][2]uint64{{80 * mib, 80 * mib}, {82 * mib, 82 * mib}, {84 * mib, 62 * mib}, {90 * mib, 62 * mib}, {96 * mib, 62 * mib}, {100 * mib, 62 * mib}}, []bool{false, true, false, false, false, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tidier tidier
			for i, look := range c.looks {
				if due := tidier.due(look[0], look[1]); due != c.due[i] {
					t.Errorf("look %d: due is %v", i+1, due)
				}
			}
		})
	}
}
