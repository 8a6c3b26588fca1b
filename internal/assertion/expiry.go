package assertion

import (
	"time"

	"azdo-pat/internal/secret"
)

// Expiry is when a JWT expires. It is zero if that cannot be read.
func Expiry(token secret.Value) time.Time {
	var claims struct {
		Expires float64 `json:"exp"`
	}
	if Decode(token, &claims) != nil || claims.Expires <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expires), 0)
}
