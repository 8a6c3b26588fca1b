package httpclient

// Permanent returns err as an error that is not [Retryable].
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }
func (*permanent) Retryable() bool { return false }
