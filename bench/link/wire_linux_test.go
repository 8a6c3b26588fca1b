package link

import (
	"strings"
	"testing"
)

// A wire's addresses must not be the machine's: they would cut off what is
// reached by way of them, such as the gateway.
func TestAddressesInUse(t *testing.T) {
	t.Parallel()
	for network, want := range map[string]string{
		"127.0.0.0/8":    "127.0.0.1/8",
		"127.0.0.1/32":   "127.0.0.1/8",
		"126.0.0.0/7":    "127.0.0.1/8",
		"233.252.0.0/24": "", // for documentation of multicast (RFC 6676): nobody's own
		"nonsense":       "invalid CIDR",
	} {
		err := unused(network)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", network, err, want)
		}
	}
}
