package remoting

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Heartbeat makes a client a member of a group, and keeps it one. It goes away
// with its connection, which a broker cuts two minutes after the last heartbeat.
// topics are what tools are told that it reads.
func (c *Client) Heartbeat(ctx context.Context, broker, client, group string, topics ...string) error {
	reads := make([]any, len(topics))
	for i, t := range topics {
		reads[i] = map[string]any{"topic": t, "subString": "*", "expressionType": "TAG", "subVersion": 1}
	}
	body, err := json.Marshal(map[string]any{"clientID": client, "producerDataSet": []any{}, "consumerDataSet": []any{map[string]any{
		"groupName": group, "consumeType": "CONSUME_ACTIVELY", "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET",
		"subscriptionDataSet": reads, "unitMode": false}}})
	if err != nil {
		return fmt.Errorf("remoting: heartbeat of %s: %w", client, err)
	}
	_, err = c.want(ctx, broker, "heartbeat of "+client, &Command{Code: reqHeartbeat, Body: body})
	return err
}

// Leave ends a client's membership.
func (c *Client) Leave(ctx context.Context, broker, client, group string) error {
	_, err := c.want(ctx, broker, "leave group "+group,
		&Command{Code: reqUnregister, Fields: map[string]string{"clientID": client, "consumerGroup": group}})
	return err
}

// Members returns the members of a group, by the names of their clients.
func (c *Client) Members(ctx context.Context, broker, group string) ([]string, error) {
	resp, err := c.Call(ctx, broker, &Command{Code: reqMembers, Fields: map[string]string{"consumerGroup": group}})
	if err != nil {
		return nil, fmt.Errorf("members of group %s: %w", group, err)
	}
	if resp.Code == SystemError && strings.Contains(resp.Remark, "no consumer for this group") {
		return nil, nil // so it says that there are none
	}
	if resp.Code != Success {
		return nil, &Error{What: "members of group " + group, Addr: broker, Code: resp.Code, Remark: resp.Remark}
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, v := range o.list("consumerIdList") {
		s, _ := v.(string)
		all = append(all, s)
	}
	return all, nil
}

// MembersChanged returns the group whose members a server says have changed;
// ok is false if c, as given to Options.Notify, says something else.
func MembersChanged(c *Command) (group string, ok bool) {
	return c.Fields["consumerGroup"], c.Code == reqMembersChanged
}

// leaseBody is the form in which leases are asked for and returned.
type leaseBody struct {
	Group  string       `json:"consumerGroup"`
	Client string       `json:"clientId"`
	Queues []leaseQueue `json:"mqSet"`
}

type leaseQueue struct {
	Topic  string `json:"topic"`
	Broker string `json:"brokerName"`
	Queue  int    `json:"queueId"`
}

// Lease takes, or renews, a client's lease of a queue among a group's members,
// and reports whether it has it. It lasts a minute, and not beyond the life of
// the broker's process.
func (c *Client) Lease(ctx context.Context, addr, group, client, topic string, q Queue) (bool, error) {
	body, err := json.Marshal(leaseBody{group, client, []leaseQueue{{topic, q.Broker, q.ID}}})
	if err != nil {
		return false, fmt.Errorf("remoting: lease of %s: %w", topic, err)
	}
	resp, err := c.want(ctx, addr, "lease of "+topic, &Command{Code: reqLock, Body: body})
	if err != nil {
		return false, err
	}
	o, err := parseObject(resp.Body)
	if err != nil {
		return false, err
	}
	return len(o.list("lockOKMQSet")) == 1, nil
}

// Release gives a lease back.
func (c *Client) Release(ctx context.Context, addr, group, client, topic string, q Queue) error {
	body, err := json.Marshal(leaseBody{group, client, []leaseQueue{{topic, q.Broker, q.ID}}})
	if err != nil {
		return fmt.Errorf("remoting: release of %s: %w", topic, err)
	}
	_, err = c.want(ctx, addr, "release of "+topic, &Command{Code: reqUnlock, Body: body})
	return err
}
