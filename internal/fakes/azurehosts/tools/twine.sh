# fetch gets something to upload.
fetch() {
	curl --fail --silent --show-error --netrc-file "$NETRC" -O "https://pkgs.dev.azure.com/contoso/_packaging/$FEED/pypi/simple/demo/demo-1.0-py3-none-any.whl"
}

upload() { twine upload --non-interactive --disable-progress-bar --config-file "$PYPIRC_PATH" "$@" demo-1.0-py3-none-any.whl; }

use() {
	fetch
	upload -r "$FEED"
}

# The user's own repository.
own() {
	fetch
	upload -r mine
}

# The section is for its own repository alone.
foreign() {
	fetch
	for url in https://pkgs.dev.azure.com/other/_packaging/x/pypi/upload/ https://elsewhere.example/pypi/upload/; do
		refused upload -r "$FEED" --repository-url "$url"
		refused upload -r "$FEED" --repository-url "$url" --username wrong --password wrong
	done
}
