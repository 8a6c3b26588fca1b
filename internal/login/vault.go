package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"azdo-pat/internal/entra"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/secret"
)

// vault is the secret in Key Vault that gets the refresh token.
type vault struct {
	client *keyvault.Client
	before keyvault.Secret // what it has; zero: nothing that can be read
}

// openVault gets a token of the application for the vault and reads the secret, as jobs
// will do, so that a vault that refuses is known before the person signs in.
func (r *run) openVault(ctx context.Context) error {
	if r.Settings.RefreshTokenVault == "" {
		return nil
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	token, err := r.exchange(ctx, &entra.Application{Client: r.Settings.ClientID, Store: "Azure Key Vault", Scope: keyvault.Scope})
	if err != nil {
		return err
	}
	r.vault = &vault{client: &keyvault.Client{
		HTTP: r.client, URL: r.Settings.RefreshTokenVault, Token: token.Access, Mask: r.Mask, UserAgent: r.UserAgent,
	}}
	return httpclient.Retry(ctx, r.Log, "reading the vault", func(ctx context.Context) (err error) {
		r.vault.before, err = r.vault.client.Get(ctx)
		if replaceable(err) {
			return nil
		}
		return err
	})
}

// replaceable reports whether a new version ends the fault: there is no secret yet, the
// newest version is disabled, or its value is not a token.
func replaceable(err error) bool {
	if refused := (*keyvault.Refusal)(nil); errors.As(err, &refused) {
		return refused.Code == "SecretNotFound" || refused.Code == "SecretDisabled"
	}
	answered := (*httpclient.Error)(nil)
	return errors.As(err, &answered) && answered.Status == http.StatusOK && answered.Permanent
}

// errNotKnown is in the error of a request without a conclusive answer: the vault may have
// stored the refresh token.
var errNotKnown = errors.New("it is not known whether the refresh token was stored")

// notStored is the error of a refresh token that was not stored, as far as that is known.
func notStored(err error) error { return fmt.Errorf("the refresh token could not be stored: %w", err) }

// store hands the refresh token over, and says where it is.
func (r *run) store(ctx context.Context, refresh secret.Value) (string, error) {
	if ctx.Err() != nil {
		return "", notStored(context.Cause(ctx))
	}
	if r.vault == nil {
		if _, err := fmt.Fprintf(r.Out, "%s\n", refresh.Reveal()); err != nil {
			return "", notStored(fmt.Errorf("write to standard output: %w", err))
		}
		return "was written to standard output", nil
	}
	issued := r.Now()
	err := httpclient.Retry(ctx, r.Log, "storing the refresh token", func(ctx context.Context) error {
		return r.vault.client.Set(ctx, refresh, issued, r.vault.before)
	})
	if answered := (*httpclient.Error)(nil); errors.As(err, &answered) && answered.Status/100 == 4 {
		return "", notStored(err)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotKnown, err)
	}
	return fmt.Sprintf("was stored in Key Vault, in %s, and is valid until %s", keyvault.Name(r.vault.client.URL),
		issued.Add(keyvault.RefreshTokenLife).UTC().Format(time.DateOnly)), nil
}
