#!/bin/sh
# Replaces the PAT of SonarQube's Azure DevOps integration before it expires. SONAR_TOKEN
# is a token of a user with the permission Administer System, SONAR_URL the server, and
# "azure" the key of the integration in its settings. docs/rotate.md explains it.
# The job sets AZDO_PAT_ORGANIZATION, AZDO_PAT_FEDERATED_TOKEN_FILE, AZDO_PAT_CLIENT_ID and
# AZDO_PAT_REFRESH_TOKEN_VAULT, or another identity.
set -eu
: "${SONAR_TOKEN:?}" "${SONAR_URL:?}"
if [ "${1-}" != store ]; then
  export AZDO_PAT_NAME=sonarqube AZDO_PAT_SCOPES=vso.code_write AZDO_PAT_OVERLAP=1h
  exec azdo-pat rotate -- "$0" store
fi
# Both credentials are on curl's standard input: other processes can read a command line.
printf 'user = "%s:"\ndata-urlencode = "personalAccessToken=%s"\n' "$SONAR_TOKEN" "$AZURE_DEVOPS_EXT_PAT" |
  curl --fail --silent --show-error --config - \
    --data-urlencode key=azure --data-urlencode url=https://dev.azure.com/contoso \
    "$SONAR_URL/api/alm_settings/update_azure"
