// Package deploy holds what stands in /deploy for systemd, docker compose,
// Prometheus and Grafana to the gate as it is: flags that it takes, metrics that
// it has, sockets that it is passed. It knows the gate by its binary.
package deploy
