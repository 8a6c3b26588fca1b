# A package manager that reads the .npmrc: npm, pnpm or yarn.
package_manager() {
	case $TOOL in
	npm) npm "$@" --cache ./cache ;;
	pnpm) pnpm "$@" --config.cache-dir=./cache --store-dir ./store ;;
	yarn) yarn --silent --non-interactive --cache-folder ./cache "$@" ;;
	esac
}

# project REGISTRY PACKAGE… makes a project that uses packages of a registry. Without
# always-auth, yarn sends a credential for scoped packages alone; npm 11 warns of it.
project() {
	printf 'registry=%s\nfetch-retries=0\n' "$1" >.npmrc
	if [ "$TOOL" = yarn ]; then echo always-auth=true >>.npmrc; fi
	shift
	dependencies=''
	for name in "$@"; do dependencies="$dependencies,\"$name\":\"1.0.0\""; done
	printf '{"name":"published","version":"1.0.0","license":"MIT","dependencies":{%s}}\n' "${dependencies#,}" >package.json
	rm -rf node_modules cache store ./*lock*
}

use() {
	registry=https://pkgs.dev.azure.com/contoso/_packaging/$FEED/npm/registry/
	project "$registry" demo
	package_manager install
	test -e node_modules/demo/package.json
	case $TOOL in
	npm) npm publish --cache ./cache ;;
	pnpm) pnpm publish --no-git-checks ;;
	yarn) yarn publish --non-interactive --no-git-tag-version --new-version 1.0.0 ;;
	esac
}

# The user's own registry for a scope, beside the feed.
own() {
	project "https://pkgs.dev.azure.com/contoso/_packaging/$FEED/npm/registry/" @mine/demo
	package_manager install
	test -e node_modules/@mine/demo/package.json
}

foreign() {
	for registry in https://pkgs.dev.azure.com/other/_packaging https://pkgs.dev.azure.com/contosox/_packaging https://elsewhere.example/contoso/_packaging; do
		project "$registry/$FEED/npm/registry/" demo
		refused package_manager install
	done
}
