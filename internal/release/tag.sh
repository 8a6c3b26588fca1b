#!/usr/bin/env bash
#
#	tag.sh VERSION ACTION_YML
#
# Puts an action.yml that pins the image on a release's tag: commits it on top of
# the commit that is checked out, and moves the tag VERSION (v1.2.3) and the
# major tag (v1; not for a pre-release, and never back to an older version) to
# that commit, in the repository that "origin" is.
#
# VERSION must be, in origin, the commit that is checked out; a tag that was
# moved meanwhile stays. The commit is the same each time it is made, so that a
# second run finds its own work and changes nothing.
#
# From the environment: SOURCE_DATE_EPOCH, the commit's date (default: that of
# the commit that is checked out).

set -euo pipefail

fail() {
	echo "tag.sh: $*" >&2
	exit 1
}

[ $# -eq 2 ] || fail "usage: tag.sh VERSION ACTION_YML"
version=$1 action=$2
[[ $version =~ ^v(0|[1-9][0-9]*)\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "$version is no version such as v1.2.3"
major=v${BASH_REMATCH[1]} prerelease=${BASH_REMATCH[2]-}
grep -Eq '^  image: docker://[^@ ]+@sha256:[0-9a-f]{64}$' "$action" || fail "$action pins no image"

source=$(git rev-parse 'HEAD^{commit}')
date=${SOURCE_DATE_EPOCH:-$(git show --no-patch --format=%ct "$source")}

# An index of its own: neither the work tree nor what is staged has a part in it.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export GIT_INDEX_FILE=$tmp/index
git read-tree "$source"
git update-index --cacheinfo "100644,$(git hash-object -w "$action"),action.yml"
commit=$(
	export GIT_AUTHOR_NAME="github-actions[bot]" GIT_AUTHOR_DATE="$date +0000"
	export GIT_AUTHOR_EMAIL="41898282+github-actions[bot]@users.noreply.github.com"
	export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	git commit-tree "$(git write-tree)" -p "$source" -m "$version: the action pulls the image that was made of $source"
)

# What origin has: the tag itself, which is an object of its own where it is
# annotated, and the commit that it stands for.
remote() {
	git ls-remote origin "refs/tags/$1" "refs/tags/$1^{}"
}
listed=$(remote "$version")
tag=$(awk 'NR == 1 { print $1 }' <<<"$listed")
stands_for=$(awk 'END { print $1 }' <<<"$listed")
listed_major=$(remote "$major")
major_tag=$(awk 'NR == 1 { print $1 }' <<<"$listed_major")

# The newest version of this major that is out, this one included.
newest=$(
	{
		git ls-remote --tags --refs origin "refs/tags/$major.*" | sed 's,.*refs/tags/,,'
		echo "$version"
	} | grep -E '^v[0-9]+\.[0-9]+\.[0-9]+$' | sort -V | tail -n 1 || true
)

moves=() leases=()
case $stands_for in
"$commit") echo "tag.sh: $version is $commit already" ;;
"$source")
	moves+=("$commit:refs/tags/$version")
	leases+=("--force-with-lease=refs/tags/$version:$tag")
	;;
'') fail "origin has no tag $version" ;;
*) fail "in origin $version is $stands_for, not $source, which is checked out" ;;
esac
if [ -n "$prerelease" ]; then
	echo "tag.sh: $version is a pre-release, $major stays"
elif [ "$newest" != "$version" ]; then
	echo "tag.sh: $newest is newer than $version, $major stays"
elif [ "$major_tag" = "$commit" ]; then
	echo "tag.sh: $major is $commit already"
else
	moves+=("$commit:refs/tags/$major")
	leases+=("--force-with-lease=refs/tags/$major:$major_tag")
fi
[ ${#moves[@]} -eq 0 ] || git push --atomic "${leases[@]}" origin "${moves[@]}"
echo "tag.sh: $version is $commit"
