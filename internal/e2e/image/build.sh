#!/usr/bin/env bash
#
#	build.sh [IMAGE [OPTION…]]
#
# Builds the project's image, azdo-pat:test if not named otherwise, out of the
# tree that this script lies in. The options go to docker build. From the
# environment:
#
#	BUILDER   legacy or buildkit: the builder to use, and an error if there is
#	          none; otherwise docker's own choice
#	VERSION   version and label of the image; "test" if unset
#	COMMIT    the commit; HEAD's if unset, "unknown" outside a repository
#	SOURCE    the repository's URL, for the label
#
# The base image must be there or be pullable; base.sh makes one.

set -euo pipefail

tree=$(cd "$(dirname "$0")/../../.." && pwd)
image=${1:-azdo-pat:test}
shift || true

fail() {
	echo "build.sh: $*" >&2
	exit 1
}

# From version 23 on, docker's client leaves BuildKit to a plugin, buildx, which
# need not be there; before, BuildKit is built in.
buildkit_client() {
	local client version
	for client in docker /usr/bin/docker; do
		version=$("$client" version --format '{{.Client.Version}}' 2>/dev/null) || continue
		if [ "${version%%.*}" -lt 23 ] || "$client" buildx version >/dev/null 2>&1; then
			echo "$client"
			return
		fi
	done
	return 1
}

client=docker
case ${BUILDER:-} in
'') ;;
legacy) export DOCKER_BUILDKIT=0 ;;
buildkit)
	client=$(buildkit_client) || fail "no docker client with BuildKit: install buildx"
	export DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain
	;;
*) fail "BUILDER is ${BUILDER}, but must be legacy or buildkit" ;;
esac

commit=${COMMIT:-$(git -C "$tree" rev-parse --quiet --verify HEAD 2>/dev/null || echo unknown)}

"$client" build \
	--tag "$image" \
	--build-arg VERSION="${VERSION:-test}" \
	--build-arg COMMIT="$commit" \
	--build-arg SOURCE="${SOURCE-}" \
	"$@" "$tree"

echo "build.sh: built $image, $(docker image inspect --format '{{.Size}} bytes, layers {{.RootFS.Layers}}' "$image")"
