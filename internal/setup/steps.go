package setup

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// AzureDevOps is the application id of Azure DevOps in every tenant.
const AzureDevOps = "499b84ac-1321-427f-aa17-267ca6975798"

// patScopes are the delegated permissions of Azure DevOps that a user's token needs to
// mint PATs.
const patScopes = "vso.pats vso.pats_manage"

// A step is one thing that an identity needs. The scripts of setup and the advice of
// check come from it.
type step struct {
	name string // of its functions in a script
	what text   // what it is, for the reader
	role string // who may create it; empty: it creates nothing
	// permissions are the delegated ones of Microsoft Graph that creating it needs.
	permissions []string

	find lookup
	// create makes it. Nil: it must be there already.
	create command
	// short does the same as create and is easier to read. check prints it.
	short azCommand
	// must is a condition on what was found or made: a variable that must be "yes".
	// otherwise says what to do if it is not, or if there is nothing.
	must      variable
	otherwise text
	// longer makes the list that create sends. Nil: it needs none.
	longer *longer
	// beginning is a part of what was found. Nil: none is needed.
	beginning *beginning
	// each: once for each subject of the job's tokens.
	each bool
	// widen adds the scopes to those of a grant that is there. Nil: the step is not a
	// grant.
	widen command

	// remove undoes create. Nil: it stays, or goes with something else.
	remove command
	// removePermissions are those of Microsoft Graph for that, besides permissions.
	removePermissions []string
	// removeIf is a variable that must be "yes" for that. Empty: no condition.
	removeIf variable
}

// needs lists the variables without which the lookup cannot be made.
func (t *step) needs() []variable {
	needs := t.find.command.variables()
	for _, c := range t.find.where {
		needs = append(needs, c.value.variables()...)
	}
	for _, k := range t.find.take {
		if k.condition != nil {
			needs = append(needs, k.condition.value.variables()...)
		}
	}
	return needs
}

// refersTo lists the variables of what the step refers to: ids that earlier steps have
// found or made.
func (t *step) refersTo() (names []string) {
	all := t.find.command.variables()
	if t.create != nil {
		all = append(all, t.create.variables()...)
	}
	for _, v := range all {
		_, made := fresh[v]
		if name := string(v); !made && (t.longer == nil || v != variable(t.longer.variable)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// A lookup finds out whether something is there, and its ids.
type lookup struct {
	command command
	// lists are properties of the answer, one of which is the list to look through; ""
	// is the answer itself, and [itself] a list with the answer as its only item. None:
	// the answer is the object.
	lists []string
	where []condition // on an item of the list; all must hold
	take  []taken
}

// itself is the list that has the answer as its only item.
const itself = "[@]"

// A condition is one on a property, whose name can have dots.
type condition struct {
	property string
	kind     kind
	value    text
}

// kind is how a property is compared.
type kind int

const (
	equals   kind = iota // the same, case included; ids are in lower case
	endsWith             // ends with the value
	contains             // is a list that has the value
	isTrue               // is true
)

// A taken is a property that becomes a variable, or a condition that becomes "yes" or "no".
type taken struct {
	variable  variable
	property  string
	condition *condition
}

// A longer is a list of the answer to a request, with one more item.
type longer struct {
	variable raw
	request  request
	property string
	item     string
}

// A beginning is the part of a variable that comes before a separator.
type beginning struct {
	variable, of variable
	before       string
}

// escape encodes text for a path or a query.
func escape(text string) string {
	return strings.NewReplacer("+", "%20", "%40", "@").Replace(url.QueryEscape(text))
}

// odata returns text for the quotes of an OData string in a path or a query.
func odata(text string) string { return escape(strings.ReplaceAll(text, "'", "''")) }

// filter encodes an OData expression of strings and variables for a query.
func filter(parts ...any) text {
	out := words("?$filter=")
	for _, part := range parts {
		if s, ok := part.(string); ok {
			part = escape(s)
		}
		out = append(out, part)
	}
	return out
}

func concat(texts ...text) (all text) {
	for _, t := range texts {
		all = append(all, t...)
	}
	return all
}

// guid returns the text of an id as the services write it.
func guid(id string) string { return strings.ToLower(id) }

// notInName matches the characters that the name of a federated credential must not
// have, since it is part of a URL.
var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// CredentialName makes the name of a federated credential of its subject. Entra takes
// 120 characters.
func CredentialName(subject string) string {
	name := "azdo-pat-" + strings.Trim(notInName.ReplaceAllString(subject, "-"), "-")
	return strings.Trim(name[:min(len(name), 120)], "-")
}
