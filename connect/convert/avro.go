package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/registry"
)

// Names of the options of avro alone.
const (
	optRegistryURL  = "schema.registry.url"
	optRegister     = "auto.register.schemas"
	optCredentials  = "basic.auth.credentials.source"
	optUserInfo     = "basic.auth.user.info"
	optValueSubject = "value.subject.name.strategy"
	optKeySubject   = "key.subject.name.strategy"
)

// subjectStrategies are the names of strategies, as Confluent has them.
var subjectStrategies = []string{"TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy",
	subjectPackage + "TopicNameStrategy", subjectPackage + "RecordNameStrategy", subjectPackage + "TopicRecordNameStrategy"}

const subjectPackage = "io.confluent.kafka.serializers.subject."

func avroPlugin() connect.Plugin {
	return connect.Plugin{
		Name:     "avro",
		Aliases:  []string{"io.confluent.connect.avro.AvroConverter"},
		Doc:      "One Avro message per record, in the form of Debezium and Confluent's AvroConverter, with schemas in Towline's own registry, which REST shows, or in one elsewhere.",
		Options:  avroOptions(),
		Validate: checkRegistry,
		Converter: func(cfg connect.Config, env connect.Env) (connect.Converter, error) {
			return newAvro(cfg, env)
		},
	}
}

func avroOptions() []connect.Option {
	strategy := func(name, of string) connect.Option {
		return connect.Option{Name: name, Type: connect.TypeString, Default: "TopicNameStrategy", Values: subjectStrategies, Importance: connect.Low, Group: "Schemas",
			Doc: "The subject under which the registry lists the schemas of " + of + ": the topic with `-value` or `-key`, the name of the record, or both."}
	}
	values := slices.DeleteFunc(ValueOptions(), func(o connect.Option) bool { return o.Name == optFormat }) // of JSON alone
	return slices.Concat([]connect.Option{
		{Name: optRegistryURL, Type: connect.TypeList, Importance: connect.High, Group: "Schemas", Check: registryURLs,
			Doc: "The URL of a registry of schemas that speaks Confluent's API, or several of one registry, which are tried in turns. Without it schemas are in Towline's own registry, " +
				"which any worker shows as Confluent's registry does. It is the same at all connectors of a topic, and stays what it is while the topic has messages."},
		{Name: optRegister, Type: connect.TypeBoolean, Default: "true", Importance: connect.Medium, Group: "Schemas",
			Doc: "Whether schemas are registered at `schema.registry.url`. With `false` they must be there before a message needs them, in the same words."},
		{Name: optCredentials, Type: connect.TypeString, Default: "URL", Values: []string{"URL", "USER_INFO"}, Importance: connect.Medium, Group: "Schemas",
			Doc: "`USER_INFO` where the registry asks for a user and a password, which are `basic.auth.user.info`. With `URL` none are given; in the URL itself they would be shown."},
		{Name: optUserInfo, Type: connect.TypePassword, Importance: connect.Medium, Group: "Schemas",
			Doc: "User and password for the registry, with a colon between them."},
		strategy(optValueSubject, "values"), strategy(optKeySubject, "keys"),
	}, sharedOptions(), values)
}

func registryURLs(value string) error {
	for _, u := range connect.SplitList(value) {
		if err := registry.CheckURL(u); err != nil {
			return err
		}
	}
	return nil
}

// checkRegistry looks at the options about a registry together.
func checkRegistry(cfg connect.Config) (faults []connect.Fault) {
	fault := func(key, text string) { faults = append(faults, connect.Fault{Key: key, Text: text}) }
	remote := len(cfg.List(optRegistryURL)) > 0
	asked := strings.EqualFold(cfg.String(optCredentials), "USER_INFO")
	user, _, both := strings.Cut(cfg.String(optUserInfo), ":")
	switch {
	case asked && (!both || user == ""):
		fault(optUserInfo, "is to be a user and a password with a colon between them, since "+optCredentials+" is USER_INFO")
	case !asked && cfg.Given(optUserInfo):
		fault(optCredentials, "is not USER_INFO, so "+optUserInfo+" would not be used; set it, or leave that out")
	case asked && !remote:
		fault(optRegistryURL, "is missing, and without it nobody asks for "+optUserInfo)
	}
	if !remote && !cfg.Bool(optRegister) {
		fault(optRegister, "is false, but without "+optRegistryURL+" nobody else can register schemas; leave it out")
	}
	return faults
}

// registryOf returns the registry that a converter asks.
func registryOf(cfg connect.Config, env connect.Env) (registry.Registry, error) {
	if urls := cfg.List(optRegistryURL); len(urls) > 0 {
		user, password, _ := strings.Cut(cfg.String(optUserInfo), ":")
		return registry.NewRemote(registry.RemoteOptions{URLs: urls, User: user, Password: password, Lookup: !cfg.Bool(optRegister)}), nil
	}
	if env.Store == nil {
		return nil, fmt.Errorf("convert: value.converter=avro of connector %s has no store for its schemas", env.Connector)
	}
	return registry.NewOwn(env.Store), nil
}

// newAvro returns the Converter "avro".
func newAvro(cfg connect.Config, env connect.Env) (*converter, error) {
	reg, err := registryOf(cfg, env)
	if err != nil {
		return nil, err
	}
	opts := encoderOptions(cfg, env)
	opts.Schemas = true
	c := newConverter(opts, cfg)
	c.w = newAvroEncoder(c.enc, reg, subjects{cfg.String(optKeySubject), cfg.String(optValueSubject)})
	c.dec = newAvroDecoder(c.enc.opts.Binary, c.enc.max, reg)
	return c, nil
}
