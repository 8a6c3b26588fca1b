#!/usr/bin/env bash
#
#	base.sh [IMAGE]
#
# Makes a stand-in for Docker Hub's golang image out of this machine's own Go
# toolchain, so that the Dockerfile can be built, unchanged, where no image
# registry can be reached. IMAGE is golang:1.26 if not given, the name that the
# Dockerfile asks for.
#
# An image of that name that this script did not make (one that was pulled) is
# kept. One that it made is made again only when the toolchain, the busybox, the
# roots of trust or this script changed.
#
# Needs docker, go and a static busybox (Debian: busybox-static).

set -euo pipefail

image=${1:-golang:1.26}
label=azdo-pat.base
roots=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}

fail() {
	echo "base.sh: $*" >&2
	exit 1
}

busybox=$(command -v busybox) || fail "no busybox found; install busybox-static"
goroot=$(GOTOOLCHAIN=local go env GOROOT)
gopath=$(dirname "$goroot") godir=$(basename "$goroot")

# All that the image is made of, in one word.
key=$(
	{
		cat "$0" "$goroot/VERSION" "$roots"
		GOTOOLCHAIN=local go version
		cat "$busybox"
	} | sha256sum | cut -c1-16
)

if docker image inspect "$image" >/dev/null 2>&1; then
	have=$(docker image inspect --format "{{with .Config.Labels}}{{index . \"$label\"}}{{end}}" "$image")
	if [ -z "$have" ]; then
		echo "base.sh: $image is there, and not of this script's making: kept"
		exit 0
	fi
	if [ "$have" = "$key" ]; then
		echo "base.sh: $image is up to date ($key)"
		exit 0
	fi
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root tar=$tmp/root.tar

mkdir -p "$root"/{bin,dev,etc/ssl/certs,go/bin,go/src,proc,root,sys,usr/local,var}
mkdir -m 1777 "$root/tmp" "$root/var/tmp"

# The userland: one static file under all its names. RUN needs /bin/sh and the
# few tools that the Dockerfile calls.
cp "$busybox" "$root/bin/busybox"
chroot "$root" /bin/busybox true || fail "$busybox does not run on its own; install busybox-static"
"$busybox" --list | while read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# The module proxy is reached over TLS, and perhaps through a proxy whose root
# only this machine knows: so the roots are this machine's.
cp -L "$roots" "$root/etc/ssl/certs/ca-certificates.crt"

# The toolchain, without the parts that building a program never reads.
tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$tar" .
tar -C "$gopath" --owner=0 --group=0 --numeric-owner -rf "$tar" \
	--exclude="$godir/api" --exclude="$godir/doc" --exclude="$godir/misc" --exclude="$godir/test" \
	--exclude=testdata --exclude='*_test.go' \
	--transform "s,^$godir,./usr/local/go,S" \
	"$godir"

# The settings are those of the official image.
docker import \
	--change 'ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
	--change "ENV GOLANG_VERSION=$(sed -n 's/^go\([0-9]\)/\1/p' "$goroot/VERSION")" \
	--change 'ENV GOTOOLCHAIN=local' \
	--change 'ENV GOPATH=/go' \
	--change 'WORKDIR /go' \
	--change 'CMD ["/bin/sh"]' \
	--change "LABEL $label=$key" \
	"$tar" "$image" >/dev/null

echo "base.sh: made $image ($key): $(docker run --rm "$image" go version)"
