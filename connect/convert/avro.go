package convert

import (
	"errors"
	"fmt"
	"slices"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/registry"
)

// Names of the options of avro alone.
const (
	optRegistryURL  = "schema.registry.url"
	optValueSubject = "value.subject.name.strategy"
	optKeySubject   = "key.subject.name.strategy"
)

// subjectStrategies are the names of strategies, as Confluent has them.
var subjectStrategies = []string{"TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy",
	subjectPackage + "TopicNameStrategy", subjectPackage + "RecordNameStrategy", subjectPackage + "TopicRecordNameStrategy"}

const subjectPackage = "io.confluent.kafka.serializers.subject."

func avroPlugin() connect.Plugin {
	return connect.Plugin{
		Name:    "avro",
		Aliases: []string{"io.confluent.connect.avro.AvroConverter"},
		Doc:     "One Avro message per record, in the form of Debezium and Confluent's AvroConverter, with schemas in Towline's own registry, which REST shows.",
		Options: avroOptions(),
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
		{Name: optRegistryURL, Type: connect.TypeList, Importance: connect.High, Group: "Schemas", Check: noRegistry,
			Doc: "Not to be given yet: schemas are in Towline's own registry, which any worker serves as Confluent's registry does."},
		strategy(optValueSubject, "values"), strategy(optKeySubject, "keys"),
	}, sharedOptions(), values)
}

// noRegistry refuses a registry elsewhere.
func noRegistry(string) error {
	return errors.New("names a registry of schemas outside of Towline, which is not supported yet; leave it out: schemas are then in Towline's own registry")
}

// newAvro returns the Converter "avro".
func newAvro(cfg connect.Config, env connect.Env) (*converter, error) {
	if env.Store == nil {
		return nil, fmt.Errorf("convert: value.converter=avro of connector %s has no store for its schemas", env.Connector)
	}
	opts := encoderOptions(cfg, env)
	opts.Schemas = true
	c := newConverter(opts, cfg)
	reg := registry.NewOwn(env.Store)
	c.w = newAvroEncoder(c.enc, reg, subjects{cfg.String(optKeySubject), cfg.String(optValueSubject)})
	c.dec = newAvroDecoder(c.enc.opts.Binary, c.enc.max, reg)
	return c, nil
}
