package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// codeReused is the emulator's own: Entra itself accepts an assertion as often
// as it is presented, but the project promises a fresh one for each exchange.
const codeReused = 7009999

// An entraError is a refusal by the token endpoint.
type entraError struct {
	code   int
	detail string
}

func refusal(code int, format string, args ...any) *entraError {
	return &entraError{code, fmt.Sprintf(format, args...)}
}

func missing(parameter string) *entraError {
	return refusal(900144, "The request body must contain the following parameter: '%s'.", parameter)
}

func (x *entraError) name() string { return "AADSTS" + strconv.Itoa(x.code) }

// oauth is the status, the error and the suberror that go with a code, after
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
func (x *entraError) oauth() (status int, name, suberror string) {
	switch x.code {
	case 70052, 700211, 700212, 700213, 7002131, 7002138, 70021, 700024, 700027, 70025, 700025, 7000218, 50013, 50027, 700229, 700023, 700021, 1000502, 7000214, codeReused:
		return http.StatusUnauthorized, "invalid_client", ""
	case 700016, 7000229, 82001:
		return http.StatusBadRequest, "unauthorized_client", ""
	case 70003:
		return http.StatusBadRequest, "unsupported_grant_type", ""
	case 70011:
		return http.StatusBadRequest, "invalid_scope", ""
	case 500011:
		return http.StatusBadRequest, "invalid_resource", ""
	case 65004, 90094:
		return http.StatusBadRequest, "access_denied", ""
	case 50058:
		return http.StatusBadRequest, "login_required", ""
	case 700051:
		return http.StatusBadRequest, "unsupported_response_type", ""
	case 65001:
		return http.StatusBadRequest, "invalid_grant", "consent_required"
	case 50076, 50079, 50074, 50158:
		return http.StatusBadRequest, "invalid_grant", "basic_action"
	case 53003, 530032:
		return http.StatusBadRequest, "invalid_grant", "message_only"
	case 50034, 50126, 50055, 50053, 50057, 50173, 700082, 70008, 70043, 70000, 54005, 501481, 700005:
		return http.StatusBadRequest, "invalid_grant", ""
	case 90033, 90024, 50033, 90055:
		return http.StatusServiceUnavailable, "temporarily_unavailable", ""
	}
	return http.StatusBadRequest, "invalid_request", ""
}

func (x *entraError) write(w http.ResponseWriter, now time.Time) {
	status, name, suberror := x.oauth()
	timestamp := now.Format("2006-01-02 15:04:05Z")
	trace, correlation := guid(), guid()
	body := map[string]any{
		"error": name,
		"error_description": fmt.Sprintf("%s: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			x.name(), x.detail, trace, correlation, timestamp),
		"error_codes":    []int{x.code},
		"timestamp":      timestamp,
		"trace_id":       trace,
		"correlation_id": correlation,
		"error_uri":      "https://login.microsoftonline.com/error?code=" + strconv.Itoa(x.code),
	}
	if suberror != "" {
		body["suberror"] = suberror
	}
	writeJSON(w, status, body)
}

// EntraError answers as the token endpoint does with the given AADSTS code,
// without looking at the request:
//
//	e.Intercept(emulator.OpT1, emulator.Times(1, emulator.EntraError(90033)))
func EntraError(code int) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		refusal(code, "The emulator was told to answer this.").write(w, emulatorOf(r).Now(Entra))
	}
}
