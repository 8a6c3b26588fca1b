# The extension azure-devops is not to be had: this is a call as it sends it, by the az
# without it.
api() {
	az rest --only-show-errors --skip-authorization-header --output none --url "$1" \
		--headers "Authorization=Basic $(printf :%s "$AZURE_DEVOPS_EXT_PAT" | base64 -w 0)"
}

use() { api https://dev.azure.com/contoso/_apis/projects; }

# The variable is for whatever the command names.
limit() { refused api https://dev.azure.com/other/_apis/projects; }
