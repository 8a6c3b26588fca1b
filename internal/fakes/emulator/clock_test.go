package emulator_test

import (
	"net/http"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// The client reckons the expiry of tokens from the Date header.
func TestDate(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Skew(emulator.Entra, -time.Hour)
	c.e.Advance(time.Minute)
	date := func(a answer) string { return a.Header.Get("Date") }
	if got := date(c.send("GET", c.e.URL(emulator.GitHub), "")); got != "Fri, 20 Nov 2026 12:01:00 GMT" {
		t.Errorf("GitHub's date is %s", got)
	}
	if got := date(c.exchange("")); got != "Fri, 20 Nov 2026 11:01:00 GMT" {
		t.Errorf("Entra's date is %s", got)
	}
	gate := emulator.NewGate()
	c.e.Intercept(emulator.OpList, gate.After)
	done := make(chan answer)
	go func() { done <- c.pats("GET", "", "") }()
	<-gate.Arrived()
	c.e.Advance(time.Minute)
	gate.Open()
	if got := date(<-done); got != "Fri, 20 Nov 2026 12:02:00 GMT" {
		t.Errorf("an answer held back is dated %s", got)
	}
	c.e.Intercept(emulator.OpTenant, emulator.Answer(200, http.Header{"Date": {"yesterday"}}, ""))
	if got := date(c.send("GET", c.e.URL(emulator.AzureDevOps)+"/contoso", "")); got != "yesterday" {
		t.Errorf("a fault's own date became %s", got)
	}
}

// Azure DevOps looks at the clock of its own when it judges Entra's tokens.
func TestSkewedAzureDevOps(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Skew(emulator.AzureDevOps, -5*time.Minute)
	if a := c.pats("GET", "", ""); a.Status != 200 {
		t.Errorf("five minutes behind: %d %s", a.Status, a.Text)
	}
	c.e.Skew(emulator.AzureDevOps, time.Hour)
	if a := c.pats("GET", "", ""); a.Status != 401 {
		t.Errorf("an hour ahead: %d %s", a.Status, a.Text)
	}
}
