package job

import (
	"context"
	"fmt"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/signin"
)

// RenewRefreshToken stores the refresh token that Entra gave in Key Vault, if the
// stored one is due. A failure is a warning: the stored token stays valid for weeks.
//
// Call it at the end of a command, when the user's token is known to work.
func (j *Job) RenewRefreshToken(ctx context.Context) {
	session := j.SignIn.Session()
	if session == nil || !session.Stored.Due() {
		return
	}
	log, stored := j.SignIn.Log, session.Stored
	if err := stored.Renew(ctx); err != nil {
		log.Warning("refresh token not renewed", fmt.Sprintf("the new refresh token from Entra could not be stored; the stored one %s: %s", stored.Expiry(), ci.Explain(err)))
		return
	}
	log.Infof("renewed the refresh token in %s: the new one is valid until %s",
		keyvault.Name(j.Settings.RefreshTokenVault), stored.ReplacementEnds().Format(time.DateOnly))
}

// RefreshTokenNotice says when the stored refresh token expires, if Entra returned a new
// one and there is no vault to store it in.
func (j *Job) RefreshTokenNotice(session *signin.Session) {
	if session.RefreshToken.IsZero() || session.Stored != nil {
		return
	}
	j.Platform.Log().Notice("refresh token", fmt.Sprintf(
		"the stored refresh token expires on %s at the latest, 90 days after it was issued: before then, sign in as the service account and store a new one, or keep it in Azure Key Vault (refresh-token-vault), where jobs renew it",
		session.ServerTime().Add(keyvault.RefreshTokenLife).UTC().Format(time.DateOnly)))
}
