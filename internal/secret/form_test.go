package secret

import (
	"strings"
	"testing"
)

func TestTooShort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "a": true, "abc": true, "äöü": true, "a   ": true, "\nab c\n": false, "abcd": false, "äöüß": false,
	} {
		if got := New(text).TooShort(); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

func TestResembles(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"S3cret", "vso.code S3cret", "https://contoso.com/?sig=Aa0", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.x",
		strings.Repeat("a", 40), strings.Repeat("a2", 26), "ghs_16c7e42f292c6912e7710c838347ae178b4a", "1.AXoA-x",
		"--password=S3cret", "pat-7k2m9x4q8w1z5v3n6", strings.Repeat("correct-horse-", 3),
	} {
		if !Resembles(text) {
			t.Errorf("%q may be repeated", text)
		}
	}
	for _, text := range []string{
		"", "contoso", "con_toso", "contoso-engineering_platform.2024", "3m", "1h30m", "maybe", "vso.code vso.build", "agent@contoso com", "a b",
		"4ab5764f-4193-4f1d-b995-64144880b7d7", "4AB5764F-4193-4f1d-b995-64144880b7d70", "http://login.microsoftonline.com/", "/etc/ssl/certs/ca.pem",
	} {
		if Resembles(text) {
			t.Errorf("%q is taken for a credential", text)
		}
	}
}
