package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// credentials reads the credentials of the registry from the environment: a command line
// is visible to other processes, and Docker's configuration would keep them on disk.
func credentials(env func(string) (string, bool)) authn.Authenticator {
	password, _ := env("REGISTRY_PASSWORD")
	if password == "" {
		return authn.Anonymous
	}
	user, _ := env("REGISTRY_USERNAME")
	return authn.FromConfig(authn.AuthConfig{Username: user, Password: password})
}

// errTaken is the error of pushing a tag that another image has.
var errTaken = errors.New("another image has the tag already")

// push uploads an image under a tag. A tag that exists is never moved: a
// later pull must get the same image. Pushing the same image again succeeds, so that a
// release that failed halfway can be run again.
func push(ctx context.Context, index v1.ImageIndex, to string, auth authn.Authenticator) error {
	// Strict: a tag is required, as is the registry, so that a mistake does not
	// push to the default one.
	tag, err := name.NewTag(to, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("-to: %w", err)
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuth(auth), remote.WithUserAgent("azdo-pat-release")}
	existing, err := remote.Head(tag, options...)
	var refused *transport.Error
	switch {
	case err == nil && existing.Digest == digest:
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w: %s; this image is %s", tag, errTaken, existing.Digest, digest)
	case !errors.As(err, &refused) || refused.StatusCode != http.StatusNotFound:
		return fmt.Errorf("look up %s: %w", tag, err)
	}
	if err := remote.WriteIndex(tag, index, options...); err != nil {
		return fmt.Errorf("push %s: %w", tag, err)
	}
	return nil
}
