# curl by the netrc, and by the variable of az.
fetch() { curl --fail --silent --show-error --netrc-file "$NETRC" "$@" >/dev/null; }

use() {
	fetch "https://pkgs.dev.azure.com/contoso/_packaging/$FEED/pypi/simple/demo/"
	curl --fail --silent --show-error --user ":$AZURE_DEVOPS_EXT_PAT" https://dev.azure.com/contoso/_apis/projects >/dev/null
}

own() { fetch https://elsewhere.example/pypi/simple/mine/; }

foreign() {
	refused fetch https://dev.azure.com/contoso/_apis/projects
	refused fetch https://dev.azure.com/other/_apis/projects
}
