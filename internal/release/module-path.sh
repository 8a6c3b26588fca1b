#!/usr/bin/env bash
# Gives the module the path under which "go install" finds it, once the address of the
# repository is known:
#
#	bash internal/release/module-path.sh github.com/OWNER/azdo-pat
#
# It changes go.mod, imports and the flags of the build, in the checkout that it is in.
set -euo pipefail
cd "$(dirname "$0")/../.."

new=${1:-}
if ! printf %s "$new" | grep -Eqx '[a-z0-9.-]+\.[a-z]+(/[A-Za-z0-9._-]+)+'; then
	printf 'usage: %s PATH, as in github.com/OWNER/azdo-pat; found "%s"\n' "$0" "$new" >&2
	exit 2
fi
old=$(sed -n 's/^module //p' go.mod)
if [ "$old" = "$new" ]; then
	printf 'the module is %s already\n' "$new"
	exit
fi
git ls-files -z '*.go' Dockerfile .golangci.yml |
	xargs -0 sed -i "s#\\([\"=\`( ]\\)$old/internal#\\1$new/internal#g"
git ls-files -z '*go.mod' | xargs -0 sed -i "s#^module $old\\(/\\|\$\\)#module $new\\1#"
gofmt -w $(git ls-files '*.go')
printf 'the module is now %s; next: go build ., go test ./..., and commit\n' "$new"
