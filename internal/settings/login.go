package settings

import "slices"

// login checks the settings of the command that signs a person in: there is an
// application, no identity, and a place for the refresh token.
func (l *loader) login(s *Settings) {
	if !l.given("client-id") {
		l.need("client-id", "the client id of the service account's app registration")
	}
	for _, d := range Descriptions {
		if d.refusedByLogin() && l.given(d.Name) && (d.Name != "token-type" || s.TokenType != PATToken) {
			l.ignore(d.Name)
			l.problem(d.Name, l.as(d.Name)+": not for login, which signs a person in in the browser; unset it")
		}
	}
	if l.src.NoOutput != "" && !l.given("refresh-token-vault") {
		l.need("refresh-token-vault", l.src.NoOutput+"; set it, or send standard output into a file or a pipe")
	}
}

// refusedByLogin reports whether login reads the setting only to refuse it: it takes no
// identity, and another kind of token has no refresh token.
func (d *Description) refusedByLogin() bool {
	return (d.identity != "" || d.Name == "token-type") && !slices.Contains(d.For, Login)
}
