package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/convert"
)

// Names of options.
const (
	optURL         = "http.url"
	optSecret      = "webhook.secret"
	optAuthType    = "http.authorization.type"
	optAuth        = "http.headers.authorization"
	optContentType = "http.headers.content.type"
	optHeaders     = "http.headers.additional"
	optCompression = "http.compression"
	optTimeout     = "request.timeout.ms"
	optInFlight    = "max.in.flight"
	optAttempts    = "retry.max.attempts"
	optAge         = "retry.max.age.ms"
	optBackoff     = "retry.backoff.ms"
	optBackoffMax  = "retry.backoff.max.ms"
	optAfterMax    = "retry.after.max.ms"
	optExhausted   = "retry.exhausted"
	optCA          = "tls.ca.file"
	optTrustAll    = "http.ssl.trust.all.certs"
	optSource      = "source.name"
)

// Plugins returns the sinks of this package.
func Plugins() []connect.Plugin {
	return []connect.Plugin{{
		Name:     "webhook",
		Aliases:  []string{"http", "io.aiven.kafka.connect.http.HttpSinkConnector", "io.debezium.server.http"},
		Doc:      "Sends each record to a URL, signed, in order for each key, and again until it is accepted.",
		Options:  slices.Concat(requestOptions(), retryOptions(), convert.ReadableOptions()),
		Sink:     open,
		Validate: validate,
	}}
}

func requestOptions() []connect.Option {
	return []connect.Option{
		{Name: optURL, Aliases: []string{"url"}, Type: connect.TypeString, Required: true, Check: checkURL, Importance: connect.High, Group: "Request",
			Doc: "The URL to send to. Its user, password and query are not shown in errors."},
		{Name: optSecret, Type: connect.TypePassword, Check: checkSecrets, Importance: connect.High, Group: "Request",
			Doc: "The secret to sign with, `whsec_` and 24 to 64 bytes in base64. While a secret is being replaced, the new and the old one, separated by a space. Without it requests are not signed."},
		{Name: optAuthType, Type: connect.TypeString, Default: "none", Values: []string{"none", "static"}, Importance: connect.Medium, Group: "Request",
			Doc: "`static` sends the header `Authorization` that `http.headers.authorization` has."},
		{Name: optAuth, Type: connect.TypePassword, Importance: connect.Medium, Group: "Request",
			Doc: "The value of the header `Authorization`, such as `Bearer token`."},
		{Name: optContentType, Type: connect.TypeString, Default: "application/json", Importance: connect.Low, Group: "Request", Doc: "The value of the header `Content-Type`."},
		{Name: optHeaders, Type: connect.TypePassword, Check: checkHeaders, Importance: connect.Low, Group: "Request",
			Doc: "More headers: `name: value`, separated by commas; a backslash goes before a comma in a value."},
		{Name: optCompression, Type: connect.TypeString, Default: "none", Values: []string{"none", "gzip"}, Importance: connect.Low, Group: "Request",
			Doc: "`gzip` compresses bodies and sends `Content-Encoding: gzip`. The signature is of the body before that."},
		{Name: optTimeout, Type: connect.TypeLong, Default: "15000", Min: 1, Max: 3600000, Importance: connect.Medium, Group: "Request",
			Doc: "How long one attempt may take, in milliseconds, to the end of the answer."},
		{Name: optInFlight, Type: connect.TypeInt, Default: "8", Min: 1, Max: 1024, Importance: connect.Medium, Group: "Request",
			Doc: "How many requests run at the same time, for different keys. Each lane has as many."},
		{Name: optCA, Type: connect.TypeString, Importance: connect.Low, Group: "Request",
			Doc: "A file of certificates in PEM to trust besides those of the system."},
		{Name: optTrustAll, Type: connect.TypeBoolean, Default: "false", Importance: connect.Low, Group: "Request",
			Doc: "Whether to trust any certificate. For tests: whoever is on the way can then read and change what is sent."},
		{Name: optSource, Type: connect.TypeString, Default: "towline", Importance: connect.Low, Group: "Request", Doc: "What the envelope's `source.name` says."},
	}
}

func retryOptions() []connect.Option {
	return []connect.Option{
		{Name: optAttempts, Aliases: []string{"max.retries"}, Type: connect.TypeInt, Default: "10", Min: 0, Max: 1 << 30, Importance: connect.Medium, Group: "Retry",
			Doc: "How often one record is tried before its retries are exhausted; 0 is no limit."},
		{Name: optAge, Type: connect.TypeLong, Default: "0", Min: 0, Max: 1 << 40, Importance: connect.Medium, Group: "Retry",
			Doc: "For how long one record is tried, in milliseconds, before its retries are exhausted; 0 is no limit."},
		{Name: optBackoff, Aliases: []string{"retry.interval.ms"}, Type: connect.TypeLong, Default: "1000", Min: 1, Max: 86400000, Importance: connect.Low, Group: "Retry",
			Doc: "The longest first pause, in milliseconds. It doubles with each attempt; a pause is anything between nothing and that."},
		{Name: optBackoffMax, Type: connect.TypeLong, Default: "60000", Min: 1, Max: 86400000, Importance: connect.Low, Group: "Retry", Doc: "The longest pause of all, in milliseconds."},
		{Name: optAfterMax, Type: connect.TypeLong, Default: "300000", Min: 0, Max: 86400000, Importance: connect.Low, Group: "Retry",
			Doc: "The most, in milliseconds, that a `Retry-After` of the receiver makes the next attempt wait."},
		{Name: optExhausted, Type: connect.TypeString, Default: "fail", Values: []string{"fail", "record"}, Importance: connect.Medium, Group: "Retry",
			Doc: "What happens when retries are exhausted: `fail` fails the task, which begins anew, so that an outage loses nothing; `record` fails the record, which `errors.tolerance=all` makes a dead letter."},
	}
}

func checkURL(value string) error {
	u, err := url.Parse(value)
	if err != nil {
		return errors.New("it is not a URL") // the parser's error repeats it, secrets and all
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("it must begin with http:// or https:// and name a host")
	}
	return nil
}

func checkSecrets(value string) error {
	_, err := parseSecrets(value)
	return err
}

func checkHeaders(value string) error {
	_, err := parseHeaders(connect.SplitList(value))
	return err
}

func parseHeaders(list []string) (http.Header, error) {
	h := http.Header{}
	for i, item := range list {
		name, value, ok := strings.Cut(item, ":")
		name = strings.TrimSpace(name)
		if !ok || !isToken(name) {
			return nil, fmt.Errorf("header %d is not written as name: value", i+1)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}

// isToken reports whether s may be the name of a header.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

func validate(cfg connect.Config) []connect.Fault {
	static := strings.EqualFold(cfg.String(optAuthType), "static")
	switch {
	case static && cfg.String(optAuth) == "":
		return []connect.Fault{{Key: optAuth, Text: "is required with " + optAuthType + "=static"}}
	case !static && cfg.String(optAuth) != "":
		return []connect.Fault{{Key: optAuthType, Text: "must be static for " + optAuth + " to be sent"}}
	}
	return nil
}

func open(cfg connect.Config, env connect.Env) (connect.Sink, error) {
	u, err := url.Parse(cfg.String(optURL))
	if err != nil {
		return nil, connect.Permanent(errors.New("webhook: " + optURL + " is not a URL"))
	}
	s := &sink{connector: env.Connector, url: u, inFlight: int(cfg.Int(optInFlight)), timeout: cfg.Millis(optTimeout),
		gzip: strings.EqualFold(cfg.String(optCompression), "gzip"), gauge: env.Gauge,
		retry: policy{attempts: int(cfg.Int(optAttempts)), age: cfg.Millis(optAge), first: cfg.Millis(optBackoff), most: cfg.Millis(optBackoffMax),
			afterMost: cfg.Millis(optAfterMax), failRecord: strings.EqualFold(cfg.String(optExhausted), "record")},
		now: nowUTC, wait: wait}
	opts := convert.Readable(cfg.String(optSource))
	opts.SetValues(cfg)
	s.enc = convert.NewEncoder(opts)
	if s.secrets, err = parseSecrets(cfg.String(optSecret)); err != nil {
		return nil, connect.Permanent(fmt.Errorf("webhook: %s: %w", optSecret, err))
	}
	if s.headers, err = parseHeaders(cfg.List(optHeaders)); err != nil {
		return nil, connect.Permanent(fmt.Errorf("webhook: %s: %w", optHeaders, err))
	}
	s.headers.Set("Content-Type", cfg.String(optContentType))
	if strings.EqualFold(cfg.String(optAuthType), "static") {
		s.headers.Set("Authorization", cfg.String(optAuth))
	}
	if s.tls, err = tlsConfig(cfg); err != nil {
		return nil, connect.Permanent(fmt.Errorf("webhook: %s: %w", optCA, err))
	}
	return s, nil
}

func tlsConfig(cfg connect.Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.Bool(optTrustAll)}
	name := cfg.String(optCA)
	if name == "" {
		return c, nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if c.RootCAs, err = x509.SystemCertPool(); err != nil {
		c.RootCAs = x509.NewCertPool()
	}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s", name)
	}
	return c, nil
}
