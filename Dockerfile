# The gate's image: `make image`, or
#
#     docker build --build-arg VERSION=1.2.3 --build-arg COMMIT="$(git rev-parse HEAD)" -t sidegate .
#     docker build --target fence -t sidegate-fence .
#
# The first is one static program and nothing else. The second has the iptables
# tools beside it, for the init container that sets up the fence; the gate itself
# never runs there.

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
ARG COMMIT=unknown
ARG TARGETOS
ARG TARGETARCH
# As make build does it. The certificates are for tool servers at https:// and wss://.
RUN mkdir -p /image/bin /image/etc/ssl/certs && \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT" -o /image/bin/sidegate ./cmd/sidegate && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    cp LICENSE /image/

FROM debian:12.12-slim AS fence
RUN apt-get update && \
    apt-get install -y --no-install-recommends iptables && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /image/bin/sidegate /bin/sidegate
ARG VERSION=devel
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Sidegate, fence" \
      org.opencontainers.image.description="Sets up the packet filter that leaves the gate as the only way to an MCP tool server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
# Root with NET_ADMIN, since packet filters are theirs, and for the legacy backend
# NET_RAW; no other capability. The container ends when the rules are in place.
USER 0:0
ENTRYPOINT ["/bin/sidegate"]
CMD ["fence", "--help"]

# The last stage is what is built unless --target says otherwise.
FROM scratch AS gate
COPY --from=build /image/ /
ARG VERSION=devel
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Sidegate" \
      org.opencontainers.image.description="A gate at the side of a Model Context Protocol (MCP) tool server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
# A number, so that Kubernetes can tell that it is not root; the fence lets
# this user through to the tool server.
USER 1337:1337
EXPOSE 8080
STOPSIGNAL SIGTERM
# Where the admin listener is not at its default, SIDEGATE_ADMIN tells the gate
# and this check; a flag would only tell the gate.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/bin/sidegate", "healthcheck"]
ENTRYPOINT ["/bin/sidegate"]
CMD ["--help"]
