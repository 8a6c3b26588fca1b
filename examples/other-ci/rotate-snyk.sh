#!/bin/sh
# Replaces the PAT of Snyk's Azure Repos integration before it expires. SNYK_TOKEN is an
# API token with admin access to the organization SNYK_ORG; SNYK_INTEGRATION is the id on
# the integration's page. docs/rotate.md explains it.
# The job sets AZDO_PAT_ORGANIZATION, AZDO_PAT_FEDERATED_TOKEN_FILE, AZDO_PAT_CLIENT_ID and
# AZDO_PAT_REFRESH_TOKEN_VAULT, or another identity.
#
# Snyk's reference names the fields username and url of these credentials, and no other
# that could hold the PAT. This was not run against Snyk: try it by hand first.
set -eu
: "${SNYK_TOKEN:?}" "${SNYK_ORG:?}" "${SNYK_INTEGRATION:?}"
if [ "${1-}" != store ]; then
  export AZDO_PAT_NAME=snyk AZDO_PAT_SCOPES=vso.code_write AZDO_PAT_OVERLAP=1h
  exec azdo-pat rotate -- "$0" store
fi
# Both credentials are on curl's standard input: other processes can read a command line.
printf 'header = "Authorization: token %s"\ndata = "{\\"type\\":\\"azure-repos\\",\\"credentials\\":{\\"username\\":\\"%s\\",\\"url\\":\\"https://dev.azure.com/contoso\\"}}"\n' "$SNYK_TOKEN" "$AZURE_DEVOPS_EXT_PAT" |
  curl --fail --silent --show-error --config - --request PUT --output /dev/null \
    --header 'Content-Type: application/json; charset=utf-8' \
    "${SNYK_URL:-https://api.snyk.io}/v1/org/$SNYK_ORG/integrations/$SNYK_INTEGRATION"
