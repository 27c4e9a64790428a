package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/rocketlog"
	"github.com/towline/towline/connect/rocketlog/remoting"
)

// rocketOptions are the keys of a worker whose topics, positions and connectors
// are in RocketMQ: RocketMQ's own names.
func rocketOptions() []connect.Option {
	return []connect.Option{
		{Name: "namesrvAddr", Type: connect.TypeString, Check: checkServers, Doc: "The name servers of a RocketMQ cluster, `host:port` separated by semicolons. With it topics, positions and connectors are there, and not in `data.dir`."},
		{Name: "clusterName", Type: connect.TypeString, Doc: "The cluster of brokers that topics are made in, if the name servers know more than one."},
		{Name: "connectClusterId", Type: connect.TypeString, Default: rocketlog.DefaultNamespace, Check: rocketlog.CheckNamespace, Doc: "What the worker's topics begin with at the brokers, followed by `%`. Workers with different ones have nothing to do with each other."},
		{Name: "aclEnable", Type: connect.TypeBoolean, Default: "false", Doc: "Whether requests are signed with `accessKey` and `secretKey`."},
		{Name: "accessKey", Type: connect.TypeString, Doc: "The user that requests come from."},
		{Name: "secretKey", Type: connect.TypePassword, Doc: "The user's password."},
		{Name: "useTLS", Aliases: []string{"tls.enable"}, Type: connect.TypeBoolean, Default: "false", Doc: "Whether name servers and brokers are spoken to over TLS. Their certificates are checked, and must be for the hosts that they are reached at."},
		{Name: "tls.client.trustCertPath", Type: connect.TypeString, Doc: "A PEM file with the certificates that sign those of name servers and brokers; else those that the machine trusts do."},
		{Name: "tls.client.certPath", Type: connect.TypeString, Doc: "A PEM file with a certificate to show to name servers and brokers."},
		{Name: "tls.client.keyPath", Type: connect.TypeString, Doc: "A PEM file with its key, without a password."},
		{Name: stateTopic, Type: connect.TypeString, Check: rocketlog.CheckTopic, Doc: "The topic of `connectClusterId` that has connectors, positions, claims and statuses; `|offsets` by default. Equal for all workers, and not to be changed later."},
		{Name: "storePathRootDir", Type: connect.TypeString, Doc: "A folder for a copy of that topic's content. With it a worker starts fast, and mends what a broker has lost of it. Its parent must exist; nobody else should read it."},
		{Name: "defaultTopicQueueNums", Type: connect.TypeInt, Default: "1", Min: 1, Max: 1024, Doc: "The number of queues of topics whose connector does not set `topic.creation.default.partitions`."},
	}
}

// stateTopic is the option that names the topic of the state.
const stateTopic = "offset.storage.topic"

// queueDefault is the option of connectors that defaultTopicQueueNums is the
// default of.
const queueDefault = "topic.creation.default.partitions"

func checkServers(list string) error {
	servers := serverList(list)
	if len(servers) == 0 {
		return fmt.Errorf("names no server")
	}
	for _, s := range servers {
		host, port, err := net.SplitHostPort(s)
		if n, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q is not host:port", s)
		}
	}
	return nil
}

// serverList splits a list of name servers, as RocketMQ writes it or with
// commas.
func serverList(list string) []string { return connect.SplitList(strings.ReplaceAll(list, ";", ",")) }

// rocketConfig returns what a configuration says of RocketMQ, nil if topics are
// in the data folder.
func rocketConfig(cfg connect.Config) (*rocketlog.Options, error) {
	servers := serverList(cfg.String("namesrvAddr"))
	if len(servers) == 0 {
		for _, o := range rocketOptions() {
			if cfg.Given(o.Name) {
				return nil, fmt.Errorf("%s: is for topics in RocketMQ; name its servers in namesrvAddr, or leave it out", o.Name)
			}
		}
		return nil, nil
	}
	for key, why := range map[string]string{
		"data.dir":            "topics, positions and connectors are in RocketMQ with namesrvAddr; leave out one of the two",
		"log.retention.bytes": "brokers drop messages by their age alone; give log.retention.ms, or leave it out",
	} {
		if cfg.Given(key) {
			return nil, fmt.Errorf("%s: %s", key, why)
		}
	}
	o := &rocketlog.Options{NameServers: servers, Cluster: cfg.String("clusterName"), Namespace: cfg.String("connectClusterId"),
		State: cfg.String(stateTopic), Copy: cfg.String("storePathRootDir")}
	if cfg.Given("log.retention.ms") {
		if o.Retention = cfg.Millis("log.retention.ms"); o.Retention == 0 {
			return nil, fmt.Errorf("log.retention.ms: brokers keep nothing for ever; say for how long, or leave it out to leave it to them")
		}
	}
	if err := rocketAccount(cfg, o); err != nil {
		return nil, err
	}
	return o, rocketTLS(cfg, o)
}

func rocketAccount(cfg connect.Config, o *rocketlog.Options) error {
	user, secret := cfg.String("accessKey"), cfg.String("secretKey")
	switch on := cfg.Bool("aclEnable"); {
	case on && (user == "" || secret == ""):
		return fmt.Errorf("aclEnable: needs both accessKey and secretKey")
	case on:
		o.Credentials = &remoting.Credentials{AccessKey: user, SecretKey: secret}
	case user != "" || secret != "":
		return fmt.Errorf("accessKey: has no use without aclEnable=true")
	}
	return nil
}

func rocketTLS(cfg connect.Config, o *rocketlog.Options) error {
	const trust, cert, key = "tls.client.trustCertPath", "tls.client.certPath", "tls.client.keyPath"
	if !cfg.Bool("useTLS") {
		for _, name := range []string{trust, cert, key} {
			if cfg.Given(name) {
				return fmt.Errorf("%s: has no use without useTLS=true", name)
			}
		}
		return nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if path := cfg.String(trust); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", trust, err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: %s has no certificate in PEM", trust, path)
		}
	}
	if cfg.String(cert) == "" && cfg.String(key) == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.String(cert), cfg.String(key))
	if err != nil {
		return fmt.Errorf("%s and %s: have to be PEM files with a certificate and its key, without a password: %w", cert, key, err)
	}
	o.TLS.Certificates = []tls.Certificate{pair}
	return nil
}

// oneTopic says why there are no more topics to name.
const oneTopic = "has no use: connectors, positions, claims and statuses are in one topic, since what a worker may save is decided by the order of all of them; " + stateTopic + " names it"

// explainRocket says what to do about keys that people know from RocketMQ
// Connect.
func explainRocket(key string) string {
	switch key {
	case "workerId", "httpPort":
		return "has no use: give listeners, and rest.advertised.host.name for the name that the worker is known by"
	case "configStoreTopic", "positionStoreTopic", "offsetStoreTopic", "connectStatusTopic", "clusterStoreTopic":
		return oneTopic
	case "pluginPaths":
		return "has no use: all plug-ins are in the program"
	case "autoCreateTopicEnable", "autoCreateGroupEnable":
		return "has no use: connectors make their topics and groups"
	case "metricsConfigPath", "openLogMetricReporter":
		return "has no use: metrics are at /metrics of the listeners"
	}
	return ""
}

// openRocket opens the log in a RocketMQ cluster.
func openRocket(ctx context.Context, o rocketlog.Options, logger *slog.Logger) (runLog, error) {
	o.Logger = logger
	log, err := rocketlog.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return log, nil
}
