package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/config"
	"github.com/towline/towline/connect/rest"
)

// workerCommand runs connectors as run does, but configured by a file and
// until it is stopped: connectors are made over REST.
func workerCommand(ctx context.Context, args []string, out, errOut io.Writer) error {
	fs := flag.NewFlagSet("towline worker", flag.ContinueOnError)
	path := fs.String("config", "", "the worker's configuration `file`, in JSON; see deploy/rest.md")
	files, err := parse(fs, args, errOut)
	if err != nil {
		return err
	}
	if *path == "" {
		return usageError{"name the worker's configuration with --config"}
	}
	f, err := readWorker(*path)
	if err != nil {
		return err
	}
	logger, err := newLogger(&f, errOut)
	if err != nil {
		return err
	}
	conns, err := checkFiles(files)
	if err != nil {
		return err
	}
	return runConnectors(ctx, f, conns, logger)
}

// workerOptions are the keys of a worker's configuration: Kafka Connect's where
// it has one.
func workerOptions() []connect.Option {
	role := []string{"admin", "reader"}
	return append(slices.Concat(rocketOptions(), clusterOptions(), offsetOptions(), reportOptions()), []connect.Option{
		{Name: "listeners", Type: connect.TypeList, Default: "http://" + defaultListen, Doc: "Where the REST API is served: `http://host:port` or `https://host:port`, separated by commas."},
		{Name: "rest.advertised.host.name", Type: connect.TypeString, Doc: "The host that the worker is known by in `worker_id`. By default that of the first listener; where that is the same on each machine (a loopback address, or all), workers that share connectors use the host's name."},
		{Name: "rest.advertised.port", Type: connect.TypeInt, Default: "0", Min: 0, Max: 65535, Doc: "The port that the worker is known by."},
		{Name: "rest.user.<name>.password", Pattern: regexp.MustCompile(`rest\.user\.([^.]+)\.password`), Type: connect.TypePassword, Doc: "The password of an account. With accounts, nobody else may ask for more than `/health`."},
		{Name: "rest.user.<name>.role", Pattern: regexp.MustCompile(`rest\.user\.([^.]+)\.role`), Type: connect.TypeString, Values: role, Doc: "`admin`, or `reader`, the default: may change nothing."},
		{Name: "rest.token.<name>.value", Pattern: regexp.MustCompile(`rest\.token\.([^.]+)\.value`), Type: connect.TypePassword, Doc: "A token that is sent as `Authorization: Bearer ...`."},
		{Name: "rest.token.<name>.role", Pattern: regexp.MustCompile(`rest\.token\.([^.]+)\.role`), Type: connect.TypeString, Values: role, Doc: "Likewise."},
		{Name: "access.control.allow.origin", Type: connect.TypeList, Doc: "Sites whose pages may ask: `https://host`, separated by commas."},
		{Name: "listeners.https.ssl.keystore.location", Aliases: []string{"ssl.keystore.location"}, Type: connect.TypeString, Doc: "A PEM file with the certificate of https listeners, those that it is signed by, and its key."},
		{Name: "listeners.https.ssl.keystore.type", Aliases: []string{"ssl.keystore.type"}, Type: connect.TypeString, Default: "PEM", Values: []string{"PEM"}, Doc: "The form of the key store."},
		{Name: "listeners.https.ssl.truststore.location", Aliases: []string{"ssl.truststore.location"}, Type: connect.TypeString, Doc: "A PEM file with the certificates that sign those of clients."},
		{Name: "listeners.https.ssl.truststore.type", Aliases: []string{"ssl.truststore.type"}, Type: connect.TypeString, Default: "PEM", Values: []string{"PEM"}, Doc: "The form of the trust store."},
		{Name: "listeners.https.ssl.client.auth", Aliases: []string{"ssl.client.auth"}, Type: connect.TypeString, Default: "none", Values: []string{"none", "requested", "required"}, Doc: "Whether clients show a certificate. Who shows one may change connectors, where there are no accounts."},
		{Name: "topic.tracking.enable", Type: connect.TypeBoolean, Default: "true", Doc: "Whether `/connectors/{c}/topics` tells which topics a connector has used."},
		{Name: "topic.tracking.allow.reset", Type: connect.TypeBoolean, Default: "true", Doc: "Whether that can be forgotten."},
		{Name: "data.dir", Type: connect.TypeString, Default: "towline-data", Doc: "The folder of topics, positions and connectors. Its parent must exist."},
		{Name: "log.retention.ms", Type: connect.TypeLong, Default: "604800000", Min: 0, Max: 1 << 50, Doc: "How long topics keep what all sinks have read; 0 for ever."},
		{Name: "log.retention.bytes", Type: connect.TypeLong, Default: "0", Min: 0, Max: 1 << 60, Doc: "The most bytes that a partition keeps of what all sinks have read; 0 for no limit."},
		{Name: "log.level", Type: connect.TypeString, Default: "info", Values: []string{"debug", "info", "warn", "error"}, Doc: "What is logged."},
		{Name: "log.format", Type: connect.TypeString, Default: "text", Values: []string{"text", "json"}, Doc: "How."},
	}...)
}

// explainWorker says what to do about keys of Kafka Connect that have no use.
func explainWorker(key string) string {
	switch {
	case key == "offset.storage.file.filename":
		return "has no use: offsets are kept in the folder data.dir"
	case key == "config.storage.topic", key == "status.storage.topic":
		return oneTopic
	case strings.HasSuffix(key, ".storage.partitions"):
		return "has no use: the topic of connectors and positions has one queue, whose order decides what counts"
	case strings.HasSuffix(key, ".storage.replication.factor"):
		return "has no use: RocketMQ copies whole brokers to their replicas, not topics"
	case key == "bootstrap.servers", key == "group.id", strings.HasPrefix(key, "config.storage."), strings.HasPrefix(key, "status.storage."), strings.HasPrefix(key, "offset.storage."):
		return "is for workers that share connectors over Kafka; here they do over RocketMQ, with namesrvAddr and connectClusterId: leave it out to run standalone"
	case strings.HasSuffix(key, ".converter") || strings.Contains(key, ".converter."):
		return "belongs to the connectors here: each names its converter"
	case key == "plugin.path":
		return "has no use: all plug-ins are in the program"
	case strings.HasPrefix(key, "offset.flush."):
		return "has no use: positions are saved with the data, or as soon as the target has it"
	case strings.HasSuffix(key, ".password") && strings.Contains(key, "ssl."):
		return "has no use: PEM files have no password; keep them readable for Towline alone"
	}
	return explainRocket(key)
}

// readWorker reads a worker's configuration.
func readWorker(path string) (runFlags, error) {
	var f runFlags
	fault := func(format string, args ...any) (runFlags, error) {
		return f, &connect.ConfigError{Name: path, Faults: []connect.Fault{{Text: fmt.Sprintf(format, args...)}}}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fault("cannot be read: %v", err)
	}
	var raw map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&raw); err != nil {
		return fault("is not a worker's configuration, a JSON object of keys and values: %v", err)
	}
	values := map[string]string{}
	for k, v := range raw {
		if values[k], err = config.Scalar(v); err != nil {
			return fault("key %q: %v", k, err)
		}
	}
	cfg, err := config.Read(path, workerOptions(), values, explainWorker)
	if err != nil {
		return f, err
	}
	f = runFlags{stay: true, dataDir: cfg.String("data.dir"), logLevel: cfg.String("log.level"), logFormat: cfg.String("log.format"),
		retention: cfg.Millis("log.retention.ms"), retentionBytes: cfg.Int("log.retention.bytes"),
		origins: cfg.List("access.control.allow.origin"), noTopics: !cfg.Bool("topic.tracking.enable"), keepTopics: !cfg.Bool("topic.tracking.allow.reset"),
		advertisedHost: cfg.String("rest.advertised.host.name"), advertisedPort: int(cfg.Int("rest.advertised.port"))}
	if f.accounts, err = workerAccounts(cfg); err != nil {
		return fault("%v", err)
	}
	for _, o := range f.origins {
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return fault("access.control.allow.origin: %q is not scheme://host[:port]", o)
		}
	}
	if f.reports, err = reportConfig(cfg); err != nil {
		return fault("%v", err)
	}
	if f.listeners, err = workerListeners(cfg); err != nil {
		return fault("%v", err)
	}
	if f.rocket, err = rocketConfig(cfg); err != nil {
		return fault("%v", err)
	}
	if f.store, err = offsetsConfig(cfg); err != nil {
		return fault("%v", err)
	}
	if f.rocket != nil {
		f.rocket.Alone = f.store != nil // what is saved elsewhere does not end with a claim
	}
	if err := clusterConfig(cfg, &f); err != nil {
		return fault("%v", err)
	}
	if f.rocket != nil {
		f.dataDir, f.queues = "", cfg.String("defaultTopicQueueNums")
	}
	return f, nil
}

// workerAccounts returns the accounts of a configuration.
func workerAccounts(cfg connect.Config) ([]rest.Account, error) {
	var list []rest.Account
	for _, kind := range []struct{ secret, role, what string }{
		{"rest.user.<name>.password", "rest.user.<name>.role", "user"}, {"rest.token.<name>.value", "rest.token.<name>.role", "token"}} {
		roles := map[string]rest.Role{}
		for _, m := range cfg.Family(kind.role) {
			roles[m.Groups[0]] = rest.Reader
			if strings.EqualFold(m.Value, "admin") {
				roles[m.Groups[0]] = rest.Admin
			}
		}
		for _, m := range cfg.Family(kind.secret) {
			a := rest.Account{Secret: m.Value, Role: max(roles[m.Groups[0]], rest.Reader)}
			if kind.what == "user" {
				a.Name = m.Groups[0]
			}
			delete(roles, m.Groups[0])
			if a.Secret == "" {
				return nil, fmt.Errorf("%s: is empty", m.Key)
			}
			list = append(list, a)
		}
		for name := range roles {
			return nil, fmt.Errorf("rest.%s.%s.role: there is no %s", kind.what, name, strings.Replace(kind.secret, "<name>", name, 1))
		}
	}
	return list, nil
}

// listener is where the REST API is served.
type listener struct {
	addr string
	tls  *tls.Config // nil: in clear
}

// workerListeners returns the listeners of a configuration.
func workerListeners(cfg connect.Config) ([]listener, error) {
	var list []listener
	for _, text := range cfg.List("listeners") {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" && u.Port() == "" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("listeners: %q is not http://host:port or https://host:port", text)
		}
		l := listener{addr: u.Host}
		if u.Port() == "" {
			l.addr = net.JoinHostPort(u.Hostname(), "8083")
		}
		switch strings.ToLower(u.Scheme) {
		case "http":
		case "https":
			if l.tls, err = workerTLS(cfg); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("listeners: %q is neither http nor https", text)
		}
		list = append(list, l)
	}
	return list, nil
}

// workerTLS returns how https listeners are secured.
func workerTLS(cfg connect.Config) (*tls.Config, error) {
	const key = "listeners.https.ssl.keystore.location"
	path := cfg.String(key)
	if path == "" {
		return nil, fmt.Errorf("%s: is required for https: a PEM file with certificate and key", key)
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	cert, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %s has to be a PEM file with a certificate and its key, without a password: %w", key, path, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	auth := strings.ToLower(cfg.String("listeners.https.ssl.client.auth"))
	if auth == "none" {
		return c, nil
	}
	const trust = "listeners.https.ssl.truststore.location"
	data, err := os.ReadFile(cfg.String(trust))
	if err != nil {
		return nil, fmt.Errorf("%s: is required to check certificates of clients: %w", trust, err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: %s has no certificate in PEM", trust, cfg.String(trust))
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if auth == "required" {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}
