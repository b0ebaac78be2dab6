package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// inheritedListeners are the sockets that systemd, or whoever does as it does,
// has passed to this process, by name (sd_listen_fds(3)). The variables that
// tell of them are gone afterwards, and children do not get the descriptors.
func inheritedListeners() (map[string]net.Listener, error) {
	listeners := map[string]net.Listener{}
	for _, file := range activation.Files(true) {
		name := file.Name()
		if listeners[name] != nil {
			return nil, fmt.Errorf("several sockets named %q were passed to this process: a socket unit may have one ListenStream= (where that is [::]:PORT, IPv4 comes in too)", name)
		}
		ln, err := inheritedListener(file)
		if err != nil {
			return nil, fmt.Errorf("the socket named %q that was passed to this process cannot be listened on: %w", name, err)
		}
		listeners[name] = ln
	}
	return listeners, nil
}

// inheritedListener takes over the socket that file is.
func inheritedListener(file *os.File) (net.Listener, error) {
	defer file.Close()
	if kind, err := unix.GetsockoptInt(int(file.Fd()), unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return nil, errors.New("it is no stream socket; the unit needs ListenStream=")
	}
	if on, err := unix.GetsockoptInt(int(file.Fd()), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		return nil, errors.New("it is a connection; the unit needs Accept=no")
	}
	return net.FileListener(file)
}

// tellManager tells the service manager what has become of this process
// (sd_notify(3)), where there is one that wants to know. That it cannot be told
// is no reason to end.
func tellManager(state string, log *zap.Logger) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot tell the service manager", zap.String("state", state), zap.Error(err))
	}
}
