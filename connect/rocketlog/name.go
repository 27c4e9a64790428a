package rocketlog

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// maxName is the most bytes of a topic's name that brokers take.
const maxName = 127

// stateName is the name within the namespace of the topic that keeps entries,
// unless another is given.
// No name of another topic begins like this.
const stateName = "|offsets"

// brokerName returns the name of a topic at the brokers. Names there have
// letters, digits, '_', '-', '%' and '|' only. What is not one of the first
// four is written as '|' and two hexadecimal digits for each byte; of a name
// that gets too long a part is replaced by a hash of the whole. Different
// topics have different names.
func brokerName(namespace, topic string) string {
	var b strings.Builder
	b.WriteString(namespace)
	b.WriteByte('%')
	start := b.Len()
	for i := range len(topic) {
		if c := topic[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "|%02X", c)
		}
	}
	if b.Len() <= maxName {
		return b.String()
	}
	sum := fmt.Sprintf("|h%x", sha256.Sum256([]byte(topic)))[:34]
	return b.String()[:max(start, maxName-len(sum))] + sum
}

// stateTopic returns the name at the brokers of the topic that keeps entries.
func stateTopic(namespace, name string) string {
	if name == "" {
		return namespace + "%" + stateName
	}
	return brokerName(namespace, name)
}

// CheckTopic returns what is wrong with the name of a topic for the state.
func CheckTopic(s string) error {
	const most = 80
	if len(s) > most {
		return fmt.Errorf("rocketlog: topic %q has more than %d characters", s, most)
	}
	for i := range len(s) {
		if c := s[i]; !plain(c) && c != '.' {
			return fmt.Errorf("rocketlog: topic %q may have letters, digits, '.', '_' and '-' only", s)
		}
	}
	return nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// CheckNamespace returns what is wrong with a namespace.
func CheckNamespace(s string) error {
	const most = 40
	if s == "" || len(s) > most {
		return fmt.Errorf("rocketlog: namespace %q must have 1 to %d characters", s, most)
	}
	for i := range len(s) {
		if !plain(s[i]) {
			return fmt.Errorf("rocketlog: namespace %q may have letters, digits, '_' and '-' only", s)
		}
	}
	return nil
}
