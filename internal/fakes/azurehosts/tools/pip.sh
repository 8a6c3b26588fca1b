pip_install() { python3 -m pip install --quiet --no-cache-dir --no-deps --retries 0 --no-input --target site "$@"; }

# The feed as the only index, and as a further one.
use() {
	PIP_INDEX_URL=https://pkgs.dev.azure.com/contoso/_packaging/$FEED/pypi/simple/ pip_install demo
	PIP_INDEX_URL=https://elsewhere.example/pypi/simple/ pip_install demo2
	test -e site/demo.py
	test -e site/demo2.py
}

# The user's own index, which is only in the user's configuration.
own() {
	PIP_INDEX_URL=https://pkgs.dev.azure.com/contoso/_packaging/$FEED/pypi/simple/ pip_install mine
}

foreign() {
	refused pip_install --isolated --index-url https://dev.azure.com/contoso/_packaging/x/pypi/simple/ demo3
	refused env -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null HOME=/nonexistent python3 -m pip install --quiet --no-cache-dir --retries 0 --no-input --target site --index-url https://dev.azure.com/other/pypi/simple/ demo3
}

# A netrc knows no organizations.
limit() {
	refused pip_install --index-url https://pkgs.dev.azure.com/other/_packaging/x/pypi/simple/ other
}
