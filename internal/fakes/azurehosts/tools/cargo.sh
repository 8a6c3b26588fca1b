project() {
	mkdir -p src
	: >src/lib.rs
	printf '[package]\nname = "published_%s"\nversion = "1.0.0"\nedition = "2021"\nlicense = "MIT"\ndescription = "d"\n[dependencies]\n%s = { version = "1.0.0", registry = "%s" }\n' "$$" "$1" "$2" >Cargo.toml
	rm -rf "$HOME/cargo/registry" Cargo.lock
}

use() {
	project demo_crate "$FEED"
	cargo --quiet fetch
	cargo --quiet publish --registry "$FEED" --no-verify --allow-dirty
}

# The user's own registry, in the user's configuration.
own() {
	project mine_crate mine
	cargo --quiet fetch
}

# The index is set with the credential: what the project says of the registry's name does
# not move it.
foreign() {
	mkdir -p .cargo
	printf '[registries.other]\nindex = "sparse+https://pkgs.dev.azure.com/other/_packaging/%s/Cargo/index/"\ncredential-provider = "cargo:token"\n[registries.%s]\nindex = "sparse+https://elsewhere.example/Cargo/index/"\n' "$FEED" "$FEED" >.cargo/config.toml
	project demo_crate other
	refused cargo --quiet fetch
	project mine_crate "$FEED"
	refused cargo --quiet fetch
}
