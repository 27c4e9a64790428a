package transform

import (
	"regexp"

	"github.com/towline/towline/connect"
)

type predicate func(*connect.Record) bool

// Test implements connect.Predicate.
func (p predicate) Test(r *connect.Record) bool { return p(r) }

func topicMatchesPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "TopicNameMatches", Aliases: []string{"org.apache.kafka.connect.transforms.predicates.TopicNameMatches"},
		Doc: "True for records whose topic matches a regular expression.",
		Options: []connect.Option{{Name: "pattern", Type: connect.TypeString, Required: true, Check: connect.Regexps, Importance: connect.Medium,
			Doc: "The expression that the whole name must match."}},
		Predicate: func(cfg connect.Config, _ connect.Env) (connect.Predicate, error) {
			re, err := regexp.Compile("^(?:" + cfg.String("pattern") + ")$")
			if err != nil {
				return nil, connect.Permanent(err)
			}
			topic, match := "", re.MatchString("")
			return predicate(func(r *connect.Record) bool {
				if r.Topic != topic {
					topic, match = r.Topic, re.MatchString(r.Topic)
				}
				return match
			}), nil
		},
	}
}

func tombstonePlugin() connect.Plugin {
	return connect.Plugin{
		Name: "RecordIsTombstone", Aliases: []string{"org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"},
		Doc: "True for deletes that have no value any more, after ExtractNewRecordState.",
		Predicate: func(connect.Config, connect.Env) (connect.Predicate, error) {
			return predicate(func(r *connect.Record) bool {
				return r.Op == connect.OpDelete && r.Flags&connect.Unwrapped != 0 && r.After == nil
			}), nil
		},
	}
}

func headerPlugin() connect.Plugin {
	return connect.Plugin{
		Name: "HasHeaderKey", Aliases: []string{"org.apache.kafka.connect.transforms.predicates.HasHeaderKey"},
		Doc:     "True for records that have a header of a name.",
		Options: []connect.Option{{Name: "name", Type: connect.TypeString, Required: true, Importance: connect.Medium, Doc: "The header's name."}},
		Predicate: func(cfg connect.Config, _ connect.Env) (connect.Predicate, error) {
			name := cfg.String("name")
			return predicate(func(r *connect.Record) bool {
				for i := range r.Headers {
					if r.Headers[i].Key == name {
						return true
					}
				}
				return false
			}), nil
		},
	}
}
