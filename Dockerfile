# The image of the action: one static binary in one layer.
#
#	docker build .
#
# Both Docker's builders take this file, BuildKit and the one before it, which
# is why it has no "# syntax=" line, no cache mounts and no COPY --link.

# The image that builds; another name, or one with a digest, can be given.
# Nothing of it reaches the final image but what the compiler makes.
ARG GOLANG=golang:1.26

# What the program and the labels say of its origin.
ARG VERSION=dev
ARG COMMIT=unknown
ARG SOURCE=

# BuildKit names the platform it builds on, so that the compiler runs natively
# and cross-compiles. The older builder names none, and "linux" means there:
# linux, on this machine's architecture.
FROM --platform=${BUILDPLATFORM:-linux} ${GOLANG} AS build
WORKDIR /src

# No download of all modules first: the tests and the release need many that
# the program does not, and who builds this on a job's way builds it once.
COPY . .

# Set by BuildKit alone; empty, they mean the platform that is built on.
ARG TARGETOS
ARG TARGETARCH
ARG VERSION
ARG COMMIT
# Nothing of the time, the directory or the repository that it is built in goes
# into the binary: the same source, version and commit give the same bytes, on
# the caller's machine as on the maintainer's.
#
# /post is the same binary under the name that the action's post step starts;
# the program tells main and post apart by that name. Fixed times make the layer
# as reproducible as the binary.
#
# Inlining everywhere would make the program 9 % larger and save 6 % of a mint's processor
# time. In these packages it makes it 1 % larger and saves 4 %. Package redact searches
# exec's output for the PAT.
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} GOFLAGS= \
    go build -trimpath -buildvcs=false \
      -gcflags=all=-l -gcflags=runtime= -gcflags=internal/...= -gcflags=sync/...= -gcflags=reflect= \
      -gcflags=strings= -gcflags=bytes= -gcflags=unicode/...= -gcflags=strconv= -gcflags=io= -gcflags=bufio= \
      -gcflags=encoding/json= -gcflags=crypto/internal/fips140/mlkem= -gcflags=crypto/internal/fips140/sha3= \
      -gcflags=azdo-pat/internal/redact= \
      -ldflags "-s -w -buildid= -X azdo-pat/internal/cli.version=${VERSION} -X azdo-pat/internal/cli.commit=${COMMIT}" \
      -o /out/azdo-pat . \
 && ln -s azdo-pat /out/post \
 && touch -h -d @0 /out/azdo-pat /out/post

# No shell, no libc, and no roots of trust in a file: those are in the binary.
FROM scratch
ARG VERSION
ARG COMMIT
ARG SOURCE
LABEL org.opencontainers.image.title="azdo-pat" \
      org.opencontainers.image.description="A short-lived Azure DevOps PAT for a CI job, without a stored secret" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /out/ /
# No USER: the files through which a step hands over its outputs belong to the
# runner's user, and GitHub wants its actions to run as root for that reason.
ENTRYPOINT ["/azdo-pat"]
