package jdbc

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// parseURL reads a connection.url, in any of the three forms that people
// have at hand:
//
//	jdbc:mysql://host:port/database?sslMode=REQUIRED
//	mysql://user:password@host:port/database?ssl-mode=REQUIRED
//	user:password@tcp(host:port)/database?tls=true
//
// user and password, where not empty, win over those in the URL. No error
// shows the URL, which may hold a password.
func parseURL(text, user, password string) (*mysql.Config, error) {
	cfg, err := parseAnyURL(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	if user != "" {
		cfg.User = user
	}
	if password != "" {
		cfg.Passwd = password
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	return cfg, nil
}

// Connector returns what opens connections to the server and database that a
// connection.url names, for others than the sink.
func Connector(url, user, password string) (driver.Connector, error) {
	cfg, err := parseURL(url, user, password)
	if err != nil {
		return nil, err
	}
	if cfg.DBName == "" {
		return nil, errors.New("names no database: write jdbc:mysql://host:port/database")
	}
	return newConnector(cfg)
}

func parseAnyURL(text string) (*mysql.Config, error) {
	rest, isJDBC := strings.CutPrefix(text, "jdbc:")
	switch {
	case text == "":
		return nil, errors.New("is empty: write jdbc:mysql://host:port/database")
	case strings.HasPrefix(rest, "mysql://"):
		return parseHostURL(rest)
	case isJDBC || strings.Contains(text, "://"):
		scheme, _, _ := strings.Cut(text, "://")
		return nil, fmt.Errorf("%q is not the scheme of a MySQL server: write jdbc:mysql://host:port/database", scheme)
	}
	cfg, err := mysql.ParseDSN(text)
	if err != nil {
		return nil, fmt.Errorf("is neither jdbc:mysql://host:port/database nor user:password@tcp(host:port)/database: %w", err)
	}
	return cfg, nil
}

func parseHostURL(text string) (*mysql.Config, error) {
	u, err := url.Parse(text)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL
		}
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	cfg := mysql.NewConfig()
	cfg.Net = "tcp"
	host, port := u.Hostname(), u.Port()
	if host == "" {
		return nil, errors.New("names no host: write jdbc:mysql://host:port/database")
	}
	if strings.Contains(u.Host, ",") {
		return nil, errors.New("names several hosts; name the one that takes the writes")
	}
	if port == "" {
		port = "3306"
	}
	cfg.Addr = net.JoinHostPort(host, port)
	if u.User != nil {
		cfg.User = u.User.Username()
		cfg.Passwd, _ = u.User.Password()
	}
	cfg.DBName = strings.Trim(u.Path, "/")
	p := tlsParams{host: host}
	for key, values := range u.Query() {
		if err := setParam(cfg, &p, key, values[len(values)-1]); err != nil {
			return nil, err
		}
	}
	return cfg, p.apply(cfg)
}

// ignored are parameters of other drivers that ask for what is always so
// here, or that concern reading only.
const ignored = " rewritebatchedstatements servertimezone connectiontimezone forceconnectiontimezonetosession characterencoding useunicode " +
	"zerodatetimebehavior tinyint1isbit nullcatalogmeanscurrent nulldatabasemeanscurrent autoreconnect cacheprepstmts useserverprepstmts " +
	"prepstmtcachesize prepstmtcachesqllimit uselocalsessionstate usecursorfetch defaultfetchsize allowpublickeyretrieval " +
	"createdatabaseifnotexist connectioncollation allowmultiqueries tcpkeepalive uselegacydatetimecode uselocaltransactionstate " +
	"maintaintimestats cacheresultsetmetadata cacheserverconfiguration elidesetautocommits yearisdatetype transformedbitisboolean " +
	"paranoid passwordcharacterencoding enabledtlsprotocols enabledsslprotocolsuites tlsversions "

func setParam(cfg *mysql.Config, p *tlsParams, key, value string) error {
	switch k := strings.ToLower(strings.ReplaceAll(key, "-", "")); k {
	case "user":
		cfg.User = value
	case "password":
		cfg.Passwd = value
	case "connecttimeout":
		return setMillis(&cfg.Timeout, key, value)
	case "sockettimeout":
		return setMillis(&cfg.ReadTimeout, key, value)
	case "usecompression":
		if strings.EqualFold(value, "true") {
			return cfg.Apply(mysql.EnableCompression(true))
		}
	case "sslmode":
		p.mode = strings.ToUpper(value)
	case "usessl", "requiressl", "verifyservercertificate":
		p.legacy(k, strings.EqualFold(value, "true"))
	case "sslca":
		p.ca = value
	case "sslcert":
		p.cert = value
	case "sslkey":
		p.key = value
	default:
		if !strings.Contains(ignored, " "+k+" ") {
			return fmt.Errorf("has the parameter %q, which is not known; there are user, password, connectTimeout, socketTimeout, "+
				"useCompression, sslMode, ssl-ca, ssl-cert and ssl-key", key)
		}
	}
	return nil
}

func setMillis(d *time.Duration, key, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return fmt.Errorf("has %s=%q, which is not a number of milliseconds", key, value)
	}
	*d = time.Duration(n) * time.Millisecond
	return nil
}

// tlsParams is what a URL says of TLS.
type tlsParams struct {
	host          string
	mode          string
	ca, cert, key string
}

// legacy reads the parameters that sslMode has replaced.
func (p *tlsParams) legacy(key string, on bool) {
	switch {
	case p.mode != "" && key == "usessl":
	case key == "usessl" && !on:
		p.mode = "DISABLED"
	case key == "usessl":
		p.mode = "PREFERRED"
	case key == "requiressl" && on && p.mode != "VERIFY_CA":
		p.mode = "REQUIRED"
	case key == "verifyservercertificate" && on:
		p.mode = "VERIFY_CA"
	}
}

func (p *tlsParams) apply(cfg *mysql.Config) error {
	switch p.mode {
	case "", "PREFERRED":
		if p.ca == "" && p.cert == "" {
			cfg.TLSConfig = "preferred"
			return nil
		}
	case "DISABLED":
		cfg.TLSConfig = "false"
		return nil
	case "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY":
	default:
		return fmt.Errorf("has sslMode=%q; there are DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY", p.mode)
	}
	t := &tls.Config{ServerName: p.host, MinVersion: tls.VersionTLS12}
	if err := p.files(t); err != nil {
		return err
	}
	switch p.mode {
	case "VERIFY_IDENTITY":
	case "VERIFY_CA":
		t.InsecureSkipVerify = true // the name is not looked at; the chain is, below
		t.VerifyConnection = verifyChain(t.RootCAs)
	default:
		t.InsecureSkipVerify = true
	}
	cfg.TLS = t
	return nil
}

func (p *tlsParams) files(t *tls.Config) error {
	if p.ca != "" {
		pem, err := os.ReadFile(p.ca)
		if err != nil {
			return fmt.Errorf("has an ssl-ca that cannot be read: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("has the ssl-ca %s, which holds no certificate", p.ca)
		}
	}
	if p.cert != "" {
		pair, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			return fmt.Errorf("has an ssl-cert and ssl-key that cannot be used: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, c := range cs.PeerCertificates[1:] {
			opts.Intermediates.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(opts)
		return err
	}
}
