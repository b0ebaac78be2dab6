package subject

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"sidegate/test/load/drive"
)

// Both proxies get a worker for each processor, as a Go program has, and what
// makes them quick: connections that are kept on both sides, and no log.

const nginxConf = `
daemon off;
user root;
worker_processes %[1]d;
worker_rlimit_nofile 20000;
pid %[2]s/pid;
error_log stderr error;
events { worker_connections 9000; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	client_max_body_size 64m;
	keepalive_requests 1000000000;
	upstream server {
		server %[3]s;
		keepalive 1024;
		keepalive_requests 1000000000;
	}
	server {
		listen %[4]s backlog=4096;
		location / {
			proxy_pass http://server;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_read_timeout 1h;
		}
	}
}
`

// Nginx starts nginx as a plain reverse proxy in front of addr.
func Nginx(addr string) (*Subject, error) {
	path, err := find("nginx")
	if err != nil {
		return nil, err
	}
	return proxy("nginx", firstLine(path, "-v"), func(dir, listen string) (*process, error) {
		conf := filepath.Join(dir, "nginx.conf")
		text := fmt.Sprintf(nginxConf, runtime.NumCPU(), dir, addr, listen)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return launch(path, "-e", "stderr", "-p", dir, "-c", conf)
	})
}

const haproxyConf = `
global
	nbthread %d
	maxconn 9000
defaults
	mode http
	option http-keep-alive
	http-reuse always
	timeout connect 5s
	timeout client 1h
	timeout server 1h
frontend in
	bind %s backlog 4096
	default_backend server
backend server
	server one %s
`

// HAProxy starts HAProxy as a plain reverse proxy in front of addr.
func HAProxy(addr string) (*Subject, error) {
	path, err := find("haproxy")
	if err != nil {
		return nil, err
	}
	return proxy("haproxy", firstLine(path, "-v"), func(dir, listen string) (*process, error) {
		conf := filepath.Join(dir, "haproxy.cfg")
		text := fmt.Sprintf(haproxyConf, runtime.NumCPU(), listen, addr)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, err
		}
		return launch(path, "-db", "-f", conf)
	})
}

// proxy starts a program that is told by a file where to listen.
func proxy(name, version string, start func(dir, listen string) (*process, error)) (*Subject, error) {
	dir, err := os.MkdirTemp("", "load-"+name+"-")
	if err != nil {
		return nil, err
	}
	listen := FreeAddr()
	p, err := start(dir, listen)
	if err == nil {
		if err = p.listens(listen); err != nil {
			p.stop()
		}
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &Subject{
		Name: name, Version: strings.TrimPrefix(version, "nginx version: "), Door: drive.Door{Addr: listen},
		processes: []*process{p}, family: true, dir: dir,
	}, nil
}
