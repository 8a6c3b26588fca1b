# The repository of the organization, by all forms of its URL.
use() {
	for url in https://dev.azure.com/contoso/P/_git/app https://contoso@dev.azure.com/contoso/P/_git/app \
		https://somebody@dev.azure.com/contoso/P/_git/app https://DEV.Azure.com:443/%63ontoso/P/_git/app \
		https://contoso.visualstudio.com/P/_git/app; do
		rm -rf clone
		git clone --quiet "$url" clone
		commit clone
		git -C clone push --quiet origin "HEAD:refs/heads/$FEED-$TOOL-$$-$((n += 1))"
		git -C clone -c credential.useHttpPath=true fetch --quiet
	done
	git -c protocol.file.allow=never init --quiet super
	git -C super submodule --quiet add https://dev.azure.com/contoso/P/_git/app sub
}
n=0

commit() {
	git -C "$1" -c user.name=N -c user.email=n@example.com commit --quiet --allow-empty -m more
}

# The user's own helper.
own() {
	git ls-remote --quiet https://elsewhere.example/contoso/P/_git/app
}

foreign() {
	git init --quiet here
	for url in https://dev.azure.com/other/P/_git/app https://dev.azure.com/contosox/P/_git/app \
		https://contoso@dev.azure.com/other/P/_git/app; do
		refused git -C here ls-remote "$url"
		refused git -C here submodule add "$url" "sub$((n += 1))"
	done
	# A push whose remote redirects pushes elsewhere.
	git -C here remote add origin https://dev.azure.com/contoso/P/_git/app
	git -C here remote set-url --push origin https://dev.azure.com/other/P/_git/app
	commit here
	refused git -C here push --quiet origin HEAD:refs/heads/x
}
