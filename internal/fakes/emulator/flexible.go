package emulator

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Flexible federated identity credentials for GitHub's issuer, after
// https://learn.microsoft.com/entra/workload-id/workload-identities-flexible-federated-identity-credentials
// as of September 2026. What that page does not say is refused: two comparisons of one
// claim, a quote in a value, other spaces or letter case.

// gitHubIssuer is the only issuer, of those that jobs here use, for which there are
// flexible credentials. That of an enterprise or of ghe.com is another.
const gitHubIssuer = "https://token.actions.githubusercontent.com"

// gitHubOperators are the claims of GitHub's assertions that an expression may compare,
// and how.
var gitHubOperators = map[string][]string{
	"sub":                 {"eq", "matches"},
	"job_workflow_ref":    {"eq", "matches"},
	"repository_id":       {"eq"},
	"repository_owner_id": {"eq"},
}

// A comparison is one part of an expression.
type comparison struct{ claim, operator, value string }

var comparisonForm = regexp.MustCompile(`^claims\['(\w+)'\] (eq|matches) '([^']+)'$`)

// parseExpression reads comparisons joined by "and". It returns the first part that is
// none, and true if there is none such.
func parseExpression(text string) (list []comparison, wrong string, ok bool) {
	for _, part := range splitOutsideQuotes(text, " and ") {
		m := comparisonForm.FindStringSubmatch(part)
		if m == nil {
			return nil, part, false
		}
		list = append(list, comparison{m[1], m[2], m[3]})
	}
	return list, "", true
}

// allowed reports whether GitHub's claims may be compared so. Since July 2026 sub must be
// compared, and repository_id or repository_owner_id.
func allowed(list []comparison) bool {
	seen := map[string]bool{}
	for _, c := range list {
		if seen[c.claim] || !slices.Contains(gitHubOperators[c.claim], c.operator) {
			return false
		}
		seen[c.claim] = true
	}
	return seen["sub"] && (seen["repository_id"] || seen["repository_owner_id"])
}

// checkFlexible checks a flexible credential that is to be stored. The code and the text
// for claims are from reports; those for a syntax error and for another issuer are the
// emulator's own.
func checkFlexible(f FederatedCredential) *graphError {
	invalid := func(why string) *graphError {
		return &graphError{http.StatusBadRequest, "InvalidFederatedIdentityCredentialValue", "The FederatedIdentityCredential.ClaimsMatchingExpression.Value is invalid. " + why +
			" paramName: FederatedIdentityCredential.ClaimsMatchingExpression.Value, paramValue: " + f.Expression + ", objectType: Microsoft.Online.DirectoryServices.Application"}
	}
	if f.Issuer != gitHubIssuer {
		return invalid("The emulator takes flexible credentials of GitHub's issuer alone.")
	}
	list, wrong, ok := parseExpression(f.Expression)
	if !ok {
		return invalid("Rule exception: it cannot be parsed at '" + wrong + "'.")
	}
	if !allowed(list) {
		return invalid("Rule exception: Expression configured for issuer '" + f.Issuer + "' either lacks all required claims or contains unallowed claims.")
	}
	return nil
}

// expressionMatches reports whether an assertion's claims are as a flexible credential
// wants them: eq is equality, * stands for any characters and ? for one.
func expressionMatches(expression string, assertion *token) bool {
	list, _, ok := parseExpression(expression)
	return ok && allowed(list) && !slices.ContainsFunc(list, func(c comparison) bool { return !c.matches(assertion) })
}

func (c comparison) matches(assertion *token) bool {
	have := assertion.text(c.claim)
	if c.operator == "eq" {
		return have == c.value
	}
	pattern := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(c.value))
	return regexp.MustCompile(`^(?s:` + pattern + `)$`).MatchString(have)
}
