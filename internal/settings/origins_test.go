package settings

import (
	"maps"
	"testing"
)

// The origins name each setting that was given, and no default.
func TestOrigins(t *testing.T) {
	t.Parallel()
	s, err := Load(Check, Source{
		Flags: map[string]string{"organization": "contoso"},
		LookupEnv: env{
			"INPUT_CLIENT-ID": someGUID, "AZURE_TENANT_ID": someGUID, "AZDO_PAT_REFRESH_TOKEN": someRefresh,
			"AZDO_PAT_FEDERATED_TOKEN_FILE": "/run/token", "AZURE_CLIENT_ID": otherGUID,
		}.lookup,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"organization": "--organization", "client-id": "client-id", "tenant-id": "AZURE_TENANT_ID",
		"refresh-token": "AZDO_PAT_REFRESH_TOKEN", "federated-token-file": "AZDO_PAT_FEDERATED_TOKEN_FILE",
	}
	if !maps.Equal(s.Origins, want) {
		t.Errorf("found %v, want %v", s.Origins, want)
	}
}
