package main

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropPages lets go of the pages of the program's own file: most of them have
// been run once, at the start. Whatever is needed again is in the system's page
// cache, and comes back with a minor fault.
func dropPages() {
	for _, m := range clean() {
		// A failure leaves the pages where they are.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED)
	}
}

// A mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// clean returns the mappings of the program's file that can only be read and of
// which no page is another than in the file. One that was written to, as the
// loader of a position-independent program does, could not be had again.
func clean() (found []mapping) {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil
	}
	defer maps.Close()
	var m mapping // the zero one is none
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) < 2:
		case strings.Contains(fields[0], "-"):
			m = mapping{}
			if len(fields) == 6 && fields[5] == program && fields[1][1] != 'w' {
				m = span(fields[0])
			}
		case fields[0] == "Anonymous:" && fields[1] == "0" && m.to > m.from:
			found = append(found, m)
		}
	}
	return found
}

// span reads what smaps has as 400000-9f3000.
func span(text string) mapping {
	from, to, _ := strings.Cut(text, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil {
		return mapping{}
	}
	return mapping{uintptr(start), uintptr(end)}
}
