package keyvault

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://contoso.vault.azure.net/secrets/azdo":          "https://contoso.vault.azure.net/secrets/azdo",
		"https://contoso.vault.azure.net:443/secrets/azdo/":     "https://contoso.vault.azure.net/secrets/azdo",
		"HTTPS://Contoso-1.Vault.Azure.NET/secrets/AZDO-1":      "https://contoso-1.vault.azure.net/secrets/AZDO-1",
		"https://abc.vault.azure.net/secrets/a":                 "https://abc.vault.azure.net/secrets/a",
		"https://" + long("v", 24) + domain + "/secrets/a":      "https://" + long("v", 24) + domain + "/secrets/a",
		"https://abc.vault.azure.net/secrets/" + long("s", 127): "https://abc.vault.azure.net/secrets/" + long("s", 127),
		"http://127.0.0.1:8080/secrets/azdo":                    "http://127.0.0.1:8080/secrets/azdo",
		"https://localhost/secrets/azdo/":                       "https://localhost/secrets/azdo",
		"http://[::1]:1/secrets/azdo":                           "http://[::1]:1/secrets/azdo",
	} {
		if got, err := ParseURL(text); got != want || err != nil {
			t.Errorf("ParseURL(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func long(letter string, n int) string { return strings.Repeat(letter, n) }

func TestNoSecretURL(t *testing.T) {
	t.Parallel()
	const (
		host  = "its host is not one of *.vault.azure.net"
		vault = "the name of the vault is not 3 to 24 letters, digits and hyphens that begin with a letter"
		name  = "the name of the secret is not 1 to 127 letters, digits and hyphens"
		path  = "its path is not that of a secret"
	)
	for text, want := range map[string]string{
		"https://contoso.vault.azure.net/secrets/azdo/0123456789abcdef0123456789abcdef":  "it has a version; without one, the newest is read",
		"https://contoso.vault.azure.net/secrets/azdo/0123456789abcdef0123456789abcdef/": "it has a version; without one, the newest is read",
		"https://contoso.vault.azure.net/secrets/azdo?api-version=7.4":                   "it has a query or a fragment",
		"https://contoso.vault.azure.net/secrets/azdo?":                                  "it has a query or a fragment",
		"https://contoso.vault.azure.net/secrets/azdo#x":                                 "it has a query or a fragment",
		"https://user@contoso.vault.azure.net/secrets/azdo":                              "it has a user",
		"https://a:b@contoso.vault.azure.net/secrets/azdo":                               "it has a user",
		"http://contoso.vault.azure.net/secrets/azdo":                                    "it is not https",
		"ftp://127.0.0.1/secrets/azdo":                                                   "it is not https",
		"contoso.vault.azure.net/secrets/azdo":                                           "it has no host",
		"https:contoso":                                                                  "it is not a URL",
		"https:///secrets/azdo":                                                          "it has no host",
		"https://contoso.vault.azure.net:8443/secrets/azdo":                              "its port is not 443",
		"https://contoso.vault.azure.net:/secrets/azdo":                                  "its port is not one from 1 to 65535",
		"https://contoso.vault.azure.net:0/secrets/azdo":                                 "its port is not one from 1 to 65535",
		"https://evil.com/secrets/azdo":                                                  host,
		"https://vault.azure.net/secrets/azdo":                                           host,
		"https://contoso.vault.azure.net.evil.com/secrets/azdo":                          host,
		"https://contoso.vault.azure.net./secrets/azdo":                                  host,
		"https://contosovault.azure.net/secrets/azdo":                                    host,
		"https://contoso.vault.azure.cn/secrets/azdo":                                    host,
		"https://contoso.managedhsm.azure.net/secrets/azdo":                              host,
		"https://contoso.va\u017fult.azure.net/secrets/azdo":                             host,
		"https://a.b.vault.azure.net/secrets/azdo":                                       vault,
		"https://.vault.azure.net/secrets/azdo":                                          vault,
		"https://ab.vault.azure.net/secrets/azdo":                                        vault,
		"https://1bc.vault.azure.net/secrets/azdo":                                       vault,
		"https://a_c.vault.azure.net/secrets/azdo":                                       vault,
		"https://" + long("v", 25) + domain + "/secrets/azdo":                            vault,
		"https://contoso.vault.azure.net":                                                path,
		"https://contoso.vault.azure.net/":                                               path,
		"https://contoso.vault.azure.net/keys/azdo":                                      path,
		"https://contoso.vault.azure.net/secrets":                                        path,
		"https://contoso.vault.azure.net//secrets/azdo":                                  path,
		"https://contoso.vault.azure.net/secrets/":                                       path,
		"https://contoso.vault.azure.net/secrets//":                                      name,
		"https://contoso.vault.azure.net/secrets/a_b":                                    name,
		"https://contoso.vault.azure.net/secrets/a%2Fb":                                  name,
		"https://contoso.vault.azure.net/secrets/../a":                                   name,
		"https://contoso.vault.azure.net/secrets/azdo/a_b":                               "it has a version",
		"https://contoso.vault.azure.net/secrets/" + long("s", 128):                      name,
		"https://contoso.vault.azure.net/secrets/a\u200bb":                               "it is not a URL",
		"https://contoso.vault.azure.net/secrets/a b":                                    "it is not a URL",
		"https://%zz/secrets/azdo":                                                       "it is not a URL",
	} {
		if got, err := ParseURL(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ParseURL(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}
