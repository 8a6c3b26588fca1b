package settings

import (
	"strings"
	"testing"
)

const forms = "contoso, https://dev.azure.com/contoso or https://contoso.visualstudio.com"

func TestOrganization(t *testing.T) {
	t.Parallel()
	fifty := strings.Repeat("a", 50)
	for text, want := range map[string]string{
		"contoso":                                  "contoso",
		"Contoso-2":                                "Contoso-2",
		"a":                                        "a",
		"7":                                        "7",
		"a--b":                                     "a--b",
		fifty:                                      fifty,
		"https://dev.azure.com/contoso":            "contoso",
		"https://dev.azure.com/contoso/":           "contoso",
		"https://dev.azure.com/Contoso":            "Contoso",
		"HTTPS://Dev.Azure.Com/contoso":            "contoso",
		"https://dev.azure.com/" + fifty:           fifty,
		"https://contoso.visualstudio.com":         "contoso",
		"https://contoso.visualstudio.com/":        "contoso",
		"https://Contoso.VisualStudio.com":         "contoso",
		"https://" + fifty + ".visualstudio.com":   fifty,
		"https://dev.azure.com/visualstudio-com":   "visualstudio-com",
		"https://dev-azure-com.visualstudio.com":   "dev-azure-com",
		"https://dev.azure.com/a-b-c-1-2-3":        "a-b-c-1-2-3",
		"https://dev.azure.com/0123456789abcdefXY": "0123456789abcdefXY",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if got, err := Organization(text); err != nil || got != want {
				t.Errorf("Organization(%q) = %q, %v, want %q", text, got, err, want)
			}
		})
	}
}

// Text that is not an organization must not get into a request's path or host.
func TestNoOrganization(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"51 characters":                strings.Repeat("a", 51),
		"51 in a URL":                  "https://dev.azure.com/" + strings.Repeat("a", 51),
		"51 in a host":                 "https://" + strings.Repeat("a", 51) + ".visualstudio.com",
		"trailing hyphen":              "contoso-",
		"leading hyphen":               "-contoso",
		"only a hyphen":                "-",
		"underscore":                   "con_toso",
		"dot":                          "con.toso",
		"dots":                         "..",
		"space":                        "con toso",
		"line break":                   "contoso\nevil",
		"line break after":             "contoso\n",
		"control character":            "contoso\x00",
		"query":                        "contoso?x=1",
		"fragment":                     "contoso#x",
		"percent":                      "con%74oso",
		"at":                           "x@contoso",
		"colon":                        "contoso:443",
		"backslash":                    `con\toso`,
		"unicode letter":               "contóso",
		"full width":                   "ｃｏｎｔｏｓｏ",
		"cyrillic":                     "сontoso",
		"zero width":                   "con\u200btoso",
		"kelvin sign":                  "\u212aontoso",
		"invalid UTF-8":                "con\xfftoso",
		"arabic digit":                 "contoso٣",
		"path alone":                   "/contoso",
		"climbing":                     "../contoso",
		"host without scheme":          "dev.azure.com/contoso",
		"host alone":                   "contoso.visualstudio.com",
		"scheme-relative":              "//dev.azure.com/contoso",
		"http":                         "http://dev.azure.com/contoso",
		"http old":                     "http://contoso.visualstudio.com",
		"another scheme":               "ssh://dev.azure.com/contoso",
		"opaque":                       "https:dev.azure.com/contoso",
		"one slash":                    "https:/dev.azure.com/contoso",
		"three slashes":                "https:///dev.azure.com/contoso",
		"no organization":              "https://dev.azure.com",
		"no organization but a slash":  "https://dev.azure.com/",
		"an empty part":                "https://dev.azure.com//contoso",
		"two slashes after":            "https://dev.azure.com/contoso//",
		"project":                      "https://dev.azure.com/contoso/project",
		"repository":                   "https://dev.azure.com/contoso/project/_git/repo",
		"collection":                   "https://contoso.visualstudio.com/DefaultCollection",
		"another host":                 "https://evil.com/contoso",
		"longer host":                  "https://dev.azure.com.evil.com/contoso",
		"host before":                  "https://evildev.azure.com/contoso",
		"below the host":               "https://contoso.dev.azure.com",
		"longer old host":              "https://contoso.visualstudio.com.evil.com",
		"like the old host":            "https://contoso.evilvisualstudio.com",
		"service host":                 "https://contoso.vssps.visualstudio.com",
		"old host alone":               "https://visualstudio.com",
		"empty below the old host":     "https://.visualstudio.com",
		"trailing hyphen in a URL":     "https://dev.azure.com/contoso-",
		"trailing hyphen in a host":    "https://contoso-.visualstudio.com",
		"final dot":                    "https://dev.azure.com./contoso",
		"port":                         "https://dev.azure.com:443/contoso",
		"old host with a port":         "https://contoso.visualstudio.com:8443",
		"empty port":                   "https://dev.azure.com:/contoso",
		"user":                         "https://contoso@dev.azure.com/contoso",
		"user and password":            "https://user:secret@dev.azure.com/contoso",
		"empty user":                   "https://@dev.azure.com/contoso",
		"user like the host":           "https://dev.azure.com@evil.com/contoso",
		"query in a URL":               "https://dev.azure.com/contoso?x=1",
		"empty query":                  "https://dev.azure.com/contoso?",
		"fragment in a URL":            "https://dev.azure.com/contoso#x",
		"empty fragment":               "https://dev.azure.com/contoso#",
		"old host with empty fragment": "https://contoso.visualstudio.com#",
		"encoded slash":                "https://dev.azure.com/contoso%2Fproject",
		"encoded slash before":         "https://dev.azure.com/%2Fcontoso",
		"encoded slash after":          "https://dev.azure.com/contoso%2f",
		"encoded letter":               "https://dev.azure.com/con%74oso",
		"encoded dots":                 "https://dev.azure.com/%2e%2e",
		"dots in a URL":                "https://dev.azure.com/..",
		"climbing in a URL":            "https://dev.azure.com/x/../contoso",
		"encoded host":                 "https://dev%2eazure.com/contoso",
		"bad escape":                   "https://dev.azure.com/%zz",
		"parameters":                   "https://dev.azure.com/contoso;x",
		"backslash host":               `https://dev.azure.com\contoso`,
		"backslash user":               `https://evil.com\@dev.azure.com/contoso`,
		"space in a URL":               "https://dev.azure.com/con toso",
		"line break in a URL":          "https://dev.azure.com/\ncontoso",
		"unicode in a URL":             "https://dev.azure.com/contóso",
		"dotted capital I in the host": "https://contoso.v\u0130sualstudio.com",
		"kelvin sign in the host":      "https://\u212aontoso.visualstudio.com",
		"unicode dot in the host":      "https://dev。azure.com/contoso",
		"soft hyphen in the host":      "https://dev.\u00adazure.com/contoso",
		"a URL in a URL":               "https://dev.azure.com/https://dev.azure.com/contoso",
		"brackets":                     "https://[dev.azure.com]/contoso",
		"nothing but the scheme":       "https://",
		"nothing":                      "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := Organization(text); err == nil || got != "" {
				t.Errorf("Organization(%q) = %q, %v, want an error", text, got, err)
			}
		})
	}
}

// The error repeats what was found, except what may be a password.
func TestWrongOrganization(t *testing.T) {
	t.Parallel()
	for found, shown := range map[string]string{
		"contoso-":                 `"contoso-"`,
		"https://evil.com/contoso": `"https://evil.com/contoso"`,
		"https://user:hunter2@dev.azure.com/contoso":          `"***@dev.azure.com/contoso"`,
		"https://hunter2@dev.azure.com/contoso":               `"***@dev.azure.com/contoso"`,
		"https://user:hun@ter2@dev.azure.com/contoso":         `"***@dev.azure.com/contoso"`,
		"https://user:hun/ter2@dev.azure.com/contoso":         `"***@dev.azure.com/contoso"`,
		"user:hunter2@dev.azure.com/contoso":                  `"***@dev.azure.com/contoso"`,
		"hunter2@dev.azure.com/contoso":                       `"***@dev.azure.com/contoso"`,
		"//user:hunter2@dev.azure.com/contoso":                `"***@dev.azure.com/contoso"`,
		"https:/user:hunter2@dev.azure.com/contoso":           `"***@dev.azure.com/contoso"`,
		`https:\\user:hunter2@dev.azure.com/contoso`:          `"***@dev.azure.com/contoso"`,
		"hunter2://user:hunter2@dev.azure.com/contoso":        `"***@dev.azure.com/contoso"`,
		"con\u202etoso\n::error::x":                           `"con\u202etoso\n::error::x"`,
		"https://dev.azure.com/" + strings.Repeat("long", 99): "a value of 418 characters, not shown since it may be a credential",
		"contoso\u200b":                         `"contoso\u200b"`,
		"\ufeffcontoso":                         `"\ufeffcontoso"`,
		"con\u00adtoso":                         `"con\u00adtoso"`,
		"cont\u043eso":                          `"cont\u043eso"`, // a Cyrillic letter
		"con\u3164toso":                         `"con\u3164toso"`,
		"S3cret\u200b":                          `a value of 7 characters with \u200b (invisible) in it, not shown since it may be a credential`,
		"https://dev.azure.com/contoso\u2060":   `"https://dev.azure.com/contoso\u2060"`,
		"https://dev.azure.com/contoso?hunter2": `"https://dev.azure.com/contoso?***"`,
	} {
		t.Run(found, func(t *testing.T) {
			t.Parallel()
			got := problems(t, Mint, Source{LookupEnv: byAgent.with("AZDO_PAT_ORGANIZATION", found).lookup})
			only(t, got, "AZDO_PAT_ORGANIZATION: found "+shown+"; allowed: "+forms)
		})
	}
}

func FuzzOrganization(f *testing.F) {
	for _, seed := range []string{
		"contoso", "https://dev.azure.com/contoso", "https://contoso.visualstudio.com/", "https://dev.azure.com/a%2Fb",
		"https://x@dev.azure.com/contoso", "https://dev.azure.com:443/contoso", "https://contoso.v\u0130sualstudio.com", "contoso-", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := Organization(text)
		if err != nil {
			if name != "" {
				t.Errorf("Organization(%q) = %q beside the error %v", text, name, err)
			}
			return
		}
		if !isOrganization(name) {
			t.Fatalf("Organization(%q) = %q, which is no name", text, name)
		}
		// Only the three forms lead to it.
		lower := strings.ToLower(text)
		switch strings.TrimSuffix(lower, "/") {
		case "https://dev.azure.com/" + strings.ToLower(name), "https://" + name + ".visualstudio.com":
		default:
			if text != name {
				t.Errorf("Organization(%q) = %q", text, name)
			}
		}
		for _, form := range []string{name, "https://dev.azure.com/" + name} {
			if again, err := Organization(form); err != nil || again != name {
				t.Errorf("Organization(%q) = %q, %v", form, again, err)
			}
		}
	})
}

// isOrganization is the rule in its own words: 1 to 50 letters, digits and
// hyphens, no hyphen at either end.
func isOrganization(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return len(name) >= 1 && len(name) <= 50 && strings.Trim(name, letters+"-") == "" &&
		strings.Contains(letters, name[:1]) && strings.Contains(letters, name[len(name)-1:])
}
