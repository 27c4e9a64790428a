package remoting

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Broker is a master.
type Broker struct {
	Name, Addr string
}

// Queue is one queue of a topic.
type Queue struct {
	Broker string // its name
	ID     int
}

// Route tells where the queues of a topic are.
type Route struct {
	Queues  []Queue           // to read from, ordered by number and broker
	Masters map[string]string // address by name of broker
}

// Brokers returns the masters of a cluster, ordered by name; of all clusters if
// it is "".
func (c *Client) Brokers(ctx context.Context, nameServer, cluster string) ([]Broker, error) {
	resp, err := c.want(ctx, nameServer, "list brokers", &Command{Code: reqCluster})
	if err != nil {
		return nil, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return nil, err
	}
	var all []Broker
	for _, m := range o.object("brokerAddrTable") {
		b, _ := m.value.(object)
		if cluster != "" && b.text("cluster") != cluster {
			continue
		}
		if addr := masterOf(b); addr != "" {
			all = append(all, Broker{b.text("brokerName"), addr})
		}
	}
	slices.SortFunc(all, func(a, b Broker) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// masterOf returns the address of the master in brokerData; "" if it is away.
func masterOf(b object) string {
	for _, m := range b.object("brokerAddrs") {
		if id := fmt.Sprint(m.key); id == "0" {
			s, _ := m.value.(string)
			return s
		}
	}
	return ""
}

// Route asks a name server for the route of a topic. A topic that is not there
// is an Error with TopicNotExist.
func (c *Client) Route(ctx context.Context, nameServer, topic string) (*Route, error) {
	resp, err := c.want(ctx, nameServer, "route of topic "+topic, &Command{Code: reqRoute, Fields: map[string]string{"topic": topic, "acceptStandardJsonOnly": "true"}})
	if err != nil {
		return nil, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return nil, err
	}
	r := &Route{Masters: map[string]string{}}
	for _, v := range o.list("brokerDatas") {
		b, _ := v.(object)
		if addr := masterOf(b); addr != "" {
			r.Masters[b.text("brokerName")] = addr
		}
	}
	for _, v := range o.list("queueDatas") {
		q, _ := v.(object)
		for id := range int(q.number("readQueueNums")) {
			r.Queues = append(r.Queues, Queue{q.text("brokerName"), id})
		}
	}
	slices.SortFunc(r.Queues, func(a, b Queue) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), strings.Compare(a.Broker, b.Broker))
	})
	return r, nil
}

// Topics returns the names of all topics that a name server knows.
func (c *Client) Topics(ctx context.Context, nameServer string) ([]string, error) {
	resp, err := c.want(ctx, nameServer, "list topics", &Command{Code: reqTopicList})
	if err != nil {
		return nil, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, v := range o.list("topicList") {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all, nil
}

// TopicConfig is how a broker has a topic.
type TopicConfig struct {
	Topic      string
	Queues     int
	Attributes map[string]string // such as cleanup.policy=COMPACTION
}

// CreateTopic makes a topic on one broker, or gives it more queues. The broker
// checks little; see TopicConfig.
func (c *Client) CreateTopic(ctx context.Context, broker string, t TopicConfig) error {
	attrs := make([]string, 0, len(t.Attributes))
	for _, k := range slices.Sorted(maps.Keys(t.Attributes)) {
		attrs = append(attrs, "+"+k+"="+t.Attributes[k])
	}
	n := strconv.Itoa(t.Queues)
	fields := map[string]string{"topic": t.Topic, "defaultTopic": "TBW102", "readQueueNums": n, "writeQueueNums": n, "perm": "6",
		"topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}
	if len(attrs) > 0 {
		fields["attributes"] = strings.Join(attrs, ",")
	}
	_, err := c.want(ctx, broker, "create topic "+t.Topic, &Command{Code: reqCreateTopic, Fields: fields})
	return err
}

// TopicConfig returns how a broker has a topic.
func (c *Client) TopicConfig(ctx context.Context, broker, topic string) (TopicConfig, error) {
	resp, err := c.want(ctx, broker, "configuration of topic "+topic, &Command{Code: reqTopicConfig, Fields: map[string]string{"topic": topic}})
	if err != nil {
		return TopicConfig{}, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return TopicConfig{}, err
	}
	t := TopicConfig{Topic: topic, Queues: int(o.number("readQueueNums")), Attributes: map[string]string{}}
	for _, m := range o.object("attributes") {
		t.Attributes[fmt.Sprint(m.key)] = fmt.Sprint(m.value)
	}
	return t, nil
}

// CreateGroup makes a consumer group on one broker.
func (c *Client) CreateGroup(ctx context.Context, broker, group string) error {
	body, err := json.Marshal(map[string]any{"groupName": group, "consumeEnable": true, "consumeFromMinEnable": true,
		"consumeBroadcastEnable": true, "retryQueueNums": 1, "retryMaxTimes": 16, "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1,
		"notifyConsumerIdsChangedEnable": true})
	if err != nil {
		return fmt.Errorf("remoting: create group %s: %w", group, err)
	}
	_, err = c.want(ctx, broker, "create group "+group, &Command{Code: reqCreateGroup, Body: body})
	return err
}
