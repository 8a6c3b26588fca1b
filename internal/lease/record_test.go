package lease

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

func TestRecordRoundTrip(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 5, 12, 0, 0, 123456789, time.UTC)
	for name, r := range map[string]Record{
		"started": {Stage: Started},
		"intended": {Stage: Intended, Name: leaseName, Intended: at, Skew: httpclient.Skew{Min: -300, Max: 5}, Unsettled: 2,
			Settings: settings.Saved{Identity: settings.AgentUser, Values: map[string]string{"organization": "contoso", "ca-file": "C:\\a b\\<c>&\u2028.pem"}}},
		"minted":     {Stage: Minted, Name: "a \"b\" <c> & d\\e 🔑", ID: guid(1), Intended: at, ValidFrom: at, ValidTo: at.Add(time.Hour)},
		"handed":     {Stage: HandedOver, Name: leaseName, ID: guid(1)},
		"over":       {Stage: Closed},
		"other zone": {Stage: Intended, Name: leaseName, Intended: at.In(time.FixedZone("", 3600))},
	} {
		text := r.String()
		if strings.ContainsAny(text, "\n\r") || text != strings.TrimSpace(text) {
			t.Errorf("%s: not one line: %q", name, text)
		}
		got, err := ParseRecord(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !got.Intended.Equal(r.Intended) || got.String() != text {
			t.Errorf("%s: %s, then %s", name, text, got)
		}
		got.Version, got.Intended = r.Version, r.Intended
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %+v, want %+v", name, got, r)
		}
	}
	// A person who looks for the name finds it as it is.
	if text := (Record{Stage: Started, Name: "<a & b>"}).String(); !strings.Contains(text, `"<a & b>"`) {
		t.Errorf("the name is escaped: %s", text)
	}
}

// A date that RFC 3339 cannot hold used to end the process, with a PAT minted.
func TestRecordOfAHostileDate(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-1, 12, 31, 23, 0, 0, 0, time.UTC),
		time.Date(292277026596, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		r, err := ParseRecord(Record{Stage: Minted, ID: guid(1), ValidFrom: at, ValidTo: at, Intended: at}.String())
		if err != nil || r.ID != guid(1) || !r.ValidTo.IsZero() || !r.ValidFrom.IsZero() || !r.Intended.IsZero() {
			t.Errorf("%s: %+v, %v", at, r, err)
		}
		if r.Expired(time.Now()) {
			t.Errorf("%s: expired, for all that is known", at)
		}
	}
	for _, at := range []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if r, err := ParseRecord(Record{Stage: Minted, ValidTo: at}.String()); err != nil || !r.ValidTo.Equal(at) {
			t.Errorf("%s: %+v, %v", at, r, err)
		}
	}
}

func TestParseRecord(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, err string }{
		"nothing":             {"", "not a record of a lease"},
		"no JSON":             {"minted", "not a record of a lease"},
		"another JSON":        {"[]", "not a record of a lease"},
		"null":                {"null", "not a record of a lease in version 2"},
		"no version":          {`{"stage":"minted"}`, "not a record of a lease in version 2"},
		"an earlier version":  {`{"v":1,"stage":"minted"}`, "not a record of a lease in version 2"},
		"a later version":     {`{"v":3,"stage":"minted"}`, "not a record of a lease in version 2"},
		"no stage":            {`{"v":2}`, "not a record of a lease"},
		"an unknown stage":    {`{"v":2,"stage":"renewed"}`, "not a record of a lease"},
		"a stage in capitals": {`{"v":2,"stage":"MINTED"}`, "not a record of a lease"},
		"cut off":             {`{"v":2,"stage":"minted"`, "not a record of a lease"},
		"more behind it":      {`{"v":2,"stage":"minted"}{}`, "not a record of a lease"},
		"a date that is none": {`{"v":2,"stage":"minted","validTo":"soon"}`, "not a record of a lease"},
		"another type":        {`{"v":2,"stage":"minted","id":7}`, "not a record of a lease"},
		"a further field":     {`{"v":2,"stage":"minted","further":true}`, ""},
	} {
		r, err := ParseRecord(tc.text)
		if tc.err == "" {
			if err != nil || r.Stage != Minted {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		if !errors.Is(err, ErrRecord) || err.Error() != tc.err || !reflect.DeepEqual(r, Record{}) {
			t.Errorf("%s: %+v, error %v, want %q", name, r, err, tc.err)
		}
	}
}

func TestRecordClock(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		skew    time.Duration
		now     time.Time
		expired bool
	}{
		{"before", 0, end.Add(-time.Second), false},
		{"then", 0, end, false},
		{"after", 0, end.Add(time.Second), true},
		{"after, but this machine is ahead", time.Minute, end.Add(time.Minute), false},
		{"after, and this machine is ahead", time.Minute, end.Add(61 * time.Second), true},
		{"before, but this machine is behind", -time.Minute, end.Add(-59 * time.Second), true},
	} {
		r := Record{ValidTo: end, Skew: httpclient.Skew{Min: tc.skew, Max: tc.skew}}
		if got := r.Expired(tc.now); got != tc.expired {
			t.Errorf("%s: %t", tc.name, got)
		}
		if got := r.ServerTime(tc.now); !got.Equal(tc.now.Add(-tc.skew)) {
			t.Errorf("%s: server time %s", tc.name, got)
		}
	}
	// With an uncertain skew, the PAT may still be valid.
	r := Record{ValidTo: end, Skew: httpclient.Skew{Min: -time.Hour, Max: 30 * time.Second}}
	if r.Expired(end.Add(30*time.Second)) || !r.Expired(end.Add(31*time.Second)) {
		t.Error("expired by the earlier clock")
	}
	if (Record{}).Expired(end) {
		t.Error("expired without an end")
	}
}

// Nothing that can hold a credential is part of a record, at any depth.
func TestRecordHoldsNoSecret(t *testing.T) {
	t.Parallel()
	var look func(path string, typ reflect.Type)
	look = func(path string, typ reflect.Type) {
		if typ == reflect.TypeFor[secret.Value]() {
			t.Errorf("%s is a secret", path)
		}
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				if f := typ.Field(i); f.Type != reflect.TypeFor[time.Time]() {
					look(path+"."+f.Name, f.Type)
				}
			}
		case reflect.Map, reflect.Slice, reflect.Pointer:
			look(path+"[]", typ.Elem())
		}
	}
	look("Record", reflect.TypeFor[Record]())

	s := &settings.Settings{Organization: "contoso", Identity: settings.Password, RefreshToken: secret.New("secret-1"), Password: secret.New("secret-2"), AccessToken: secret.New("secret-3")}
	text := Record{Stage: Intended, Name: leaseName, Settings: s.Save()}.String()
	if strings.Contains(text, "secret-") || !strings.Contains(text, "contoso") {
		t.Errorf("record %s", text)
	}
	for name := range s.Save().Values {
		if settings.IsSecret(name) {
			t.Errorf("%s is saved", name)
		}
	}
}

// FuzzParseRecord looks for a text that ends the process, or whose record is not
// what comes back of it.
func FuzzParseRecord(f *testing.F) {
	f.Add(`{"v":2,"stage":"started"}`)
	f.Add(Record{Stage: Minted, Name: leaseName, ID: guid(1), Intended: time.Unix(1, 2), ValidTo: time.Unix(3, 4), Unsettled: 2, Skew: httpclient.Skew{Min: -7},
		Settings: settings.Saved{Identity: "x", Values: map[string]string{"a": "b"}}}.String())
	f.Add(`{"v":2,"stage":"intended","intended":"9999-12-31T23:59:59-23:59","validTo":"0000-01-01T00:00:00+23:59","skew":{"min":-9223372036854775808,"max":9223372036854775807}}`)
	f.Add(`{"v":2,"stage":"closed","name":"\ud800\u2028\u0000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text)
		if err != nil {
			if !errors.Is(err, ErrRecord) || !reflect.DeepEqual(r, Record{}) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		line := r.String()
		if strings.ContainsAny(line, "\n\r") {
			t.Errorf("not one line: %q", line)
		}
		again, err := ParseRecord(line)
		if err != nil || again.String() != line {
			t.Errorf("%q, then %q, %v", line, again, err)
		}
		r.Expired(time.Now())
	})
}
